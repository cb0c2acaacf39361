"""IoT Edge: its configuration files, written, converted and judged; its CA and its trust bundle."""
