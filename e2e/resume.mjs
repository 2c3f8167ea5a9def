// The official TypeScript MCP clients when their stream breaks.
//
//   node resume.mjs MODE URL CONTROL POLLING_URL
//
// MODE is "v1" (@modelcontextprotocol/sdk) or "v2-legacy"
// (@modelcontextprotocol/client), URL a node with the demo app behind a wire
// that CONTROL can cut, POLLING_URL a server whose tool test_reconnection sends
// clients away. Prints one JSON object about what it saw and ends with 0;
// otherwise says what was wrong and ends with 1.
import assert from 'node:assert/strict';

const [mode, url, control, pollingURL] = process.argv.slice(2);
assert(pollingURL, 'usage: node resume.mjs MODE URL CONTROL POLLING_URL');
const patience = 60_000; // milliseconds; a busy machine takes long to start Node

async function until(reached, what) {
  for (const deadline = Date.now() + patience; !reached(); await new Promise((r) => setTimeout(r, 10))) {
    assert(Date.now() < deadline, `no ${what} within ${patience} ms`);
  }
}

async function act(path, body = '') {
  const response = await fetch(control + path, { method: 'POST', body });
  assert(response.ok, `${path}: ${response.status}`);
}

async function connect(to, options) {
  const info = { name: 'rookery-e2e', version: '1.0.0' };
  // The shortest wait before it comes back, so that the test is short.
  const reconnectionOptions = { initialReconnectionDelay: 100, maxReconnectionDelay: 1000, reconnectionDelayGrowFactor: 1.5, maxRetries: 10 };
  if (mode === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const { ResourceUpdatedNotificationSchema } = await import('@modelcontextprotocol/sdk/types.js');
    const client = new Client(info);
    await client.connect(new StreamableHTTPClientTransport(new URL(to), { ...options, reconnectionOptions }));
    return { client, onUpdated: (f) => client.setNotificationHandler(ResourceUpdatedNotificationSchema, f) };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const client = new Client(info, { versionNegotiation: { mode: 'legacy' } });
  await client.connect(new StreamableHTTPClientTransport(new URL(to), { ...options, reconnectionOptions }));
  return { client, onUpdated: (f) => client.setNotificationHandler('notifications/resources/updated', f) };
}

let opened = 0; // streams: answers to GET
const watchedFetch = async (input, init) => {
  const response = await fetch(input, init);
  if (init?.method === 'GET' && response.ok) opened++;
  return response;
};

const item = (i) => `demo://item/${i}`;
const { client, onUpdated } = await connect(url, { fetch: watchedFetch });
const seen = [];
onUpdated(({ params }) => { seen.push(params.uri); });
for (let i = 0; i < 5; i++) await client.subscribeResource({ uri: item(i) });
await until(() => opened === 1, 'open stream');
await act('/touch', item(0));
await until(() => seen.length >= 1, 'notification');

// The network breaks, and things happen while the client is away.
await act('/cut');
for (let i = 1; i < 4; i++) await act('/touch', item(i));
await until(() => seen.length >= 4, 'missed notifications');
await act('/touch', item(4));
await until(() => seen.length >= 5, 'notification after the break');
await client.close();

// A server that sends its client away in the middle of a call.
const { client: polling } = await connect(pollingURL, {});
const { content } = await polling.callTool({ name: 'test_reconnection', arguments: {} });
await polling.close();
console.log(JSON.stringify({ mode, seen, opened, polled: content[0].text }));
