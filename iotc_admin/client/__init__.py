"""The client of the IoT Central REST API: the only room with the service's wire."""
