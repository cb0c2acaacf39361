// A device with Microsoft's SDK for Node: does what the JSON lines on stdin ask, tells what happened.
//
//     node_device.js CERTIFICATE KEY
//
// NODE_PATH finds the SDK, NODE_EXTRA_CA_CERTS is whom it trusts.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { Client, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { X509Security } = require('azure-iot-security-x509');

const transports = {
  http: () => new (require('azure-iot-provisioning-device-http').Http)(),
  mqtt: () => new (require('azure-iot-provisioning-device-mqtt').Mqtt)(),
  websocket: () => new (require('azure-iot-provisioning-device-mqtt').MqttWs)(),
};

const [certificate, key] = process.argv.slice(2, 4).map((path) => fs.readFileSync(path, 'utf-8'));
let hub;
let twin;

function tell(event, details) {
  process.stdout.write(JSON.stringify({ event, ...details }) + '\n');
}

function told(failure) {
  const body = failure.result || failure.responseBody;
  return {
    errors: [failure.name === 'Error' ? failure.constructor.name : failure.name],
    texts: [failure.message],
    bodies: body ? [typeof body === 'string' ? body : JSON.stringify(body)] : [],
  };
}

const doings = {
  async register({ host, scope, registration, model, over = 'mqtt' }) {
    const security = new X509Security(registration, { cert: certificate, key });
    const client = ProvisioningDeviceClient.create(host, scope, transports[over](), security);
    if (model) {
      client.setProvisioningPayload({ modelId: model });
    }
    const { status, assignedHub, deviceId, substatus } = await client.register();
    tell('registered', { status, hub: assignedHub, device: deviceId, substatus });
  },

  async connect({ hub: host, device, model, over = 'mqtt' }) {
    const transport = over === 'websocket' ? MqttWs : Mqtt;
    hub = Client.fromConnectionString(`HostName=${host};DeviceId=${device};x509=true`, transport);
    hub.on('connect', () => tell('line', { up: true }));
    hub.on('disconnect', () => tell('line', { up: false }));
    hub.on('error', (failure) => tell('background', told(failure)));
    await hub.setOptions({ cert: certificate, key, ...(model ? { modelId: model } : {}) });
    await hub.open();
    tell('connected');
  },

  async listen({ methods = [] }) {
    for (const name of methods) {
      hub.onDeviceMethod(name, (request, response) => {
        tell('method', { name, request: request.payload });
        response.send(200, { echo: request.payload });
      });
    }
    hub.on('message', (message) => {
      const properties = Object.fromEntries(message.properties.propertyList.map((each) => [each.key, each.value]));
      tell('message', { payload: message.getData().toString(), properties });
      hub.complete(message);
    });
    twin = await hub.getTwin();
    twin.on('properties.desired', (patch) => tell('desired', { patch }));
    tell('listening');
  },

  async send({ payload, component, properties = {} }) {
    const message = new Message(JSON.stringify(payload));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    for (const [name, value] of Object.entries({ ...(component ? { '$.sub': component } : {}), ...properties })) {
      message.properties.add(name, value);
    }
    await hub.sendEvent(message);
    tell('sent');
  },

  async twin() {
    await twin.get();
    const { update, ...reported } = twin.properties.reported;
    tell('twin', { desired: twin.properties.desired, reported });
  },

  async report({ properties }) {
    await new Promise((done, failed) => {
      twin.properties.reported.update(properties, (failure) => (failure ? failed(failure) : done()));
    });
    tell('reported');
  },

  async close() {
    await hub.close();
    tell('closed');
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { do: what, ...details } = JSON.parse(line);
    await doings[what](details).catch((refusal) => tell('refused', told(refusal)));
  }
  process.exit(0);
}

main();
