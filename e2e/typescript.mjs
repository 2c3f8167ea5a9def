// The official TypeScript MCP clients against a running node.
//
//   node typescript.mjs URL MODE
//
// MODE is "v1" (@modelcontextprotocol/sdk, revisions up to 2025-11-25) or, for
// @modelcontextprotocol/client, "v2-legacy" (the same revisions), "v2-modern"
// (2026-07-28 and nothing else) or "v2-auto" (whatever the two agree on).
// Prints one JSON object about what it saw and ends with 0; otherwise says
// what was wrong and ends with 1.
import assert from 'node:assert/strict';

const [url, mode] = process.argv.slice(2);
assert(url && mode, 'usage: node typescript.mjs URL MODE');
const patience = 60_000; // milliseconds; a busy machine takes long to start Node

// within rejects when promise takes too long, naming what was awaited.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// An opened stream is the server's answer to GET: only then is a notification
// certain to have a way. The clients open it on their own and do not tell.
let streamOpened;
const streamOpen = new Promise((resolve) => { streamOpened = resolve; });
const watchedFetch = async (input, init) => {
  const response = await fetch(input, init);
  if ((init?.method ?? 'GET') === 'GET' && response.ok) streamOpened(response.headers.get('content-type'));
  return response;
};

// connect returns the client, its transport and what differs between versions.
async function connect() {
  const info = { name: 'rookery-e2e', version: '1.0.0' };
  if (mode === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const { ResourceUpdatedNotificationSchema } = await import('@modelcontextprotocol/sdk/types.js');
    const client = new Client(info);
    const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: watchedFetch });
    await client.connect(transport);
    return {
      client, transport, modern: false, version: transport.protocolVersion,
      onUpdated: (f) => client.setNotificationHandler(ResourceUpdatedNotificationSchema, f),
    };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const negotiation = { 'v2-legacy': 'legacy', 'v2-auto': 'auto', 'v2-modern': { pin: '2026-07-28' } }[mode];
  assert(negotiation, `unknown mode ${mode}`);
  const client = new Client(info, { versionNegotiation: { mode: negotiation } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: watchedFetch });
  await client.connect(transport);
  return {
    client, transport, modern: client.getProtocolEra() === 'modern', version: client.getNegotiatedProtocolVersion(),
    onUpdated: (f) => client.setNotificationHandler('notifications/resources/updated', f),
  };
}

const { client, transport, modern, version, onUpdated } = await within(connect(), 'connection');
const report = { mode, version, server: client.getServerVersion()?.name, session: Boolean(transport.sessionId) };

// Tools: listed, called with text that needs escaping, refused when wrong.
const { tools } = await client.listTools();
report.tools = tools.map((t) => t.name).sort();
for (const text of ['hello', 'quote " backslash \\ newline \n tab \t', 'grüße 世界 🐦 \u2028', '', 'x'.repeat(200_000)]) {
  const { content, isError } = await client.callTool({ name: 'echo', arguments: { text } });
  assert(!isError);
  assert.deepEqual(content.map(({ type, text }) => ({ type, text })), [{ type: 'text', text }]);
}
const refused = async (call) => {
  try { return (await call()).isError === true; } catch (e) { return typeof e.code === 'number'; }
};
assert(await refused(() => client.callTool({ name: 'echo', arguments: { text: 7 } })), 'a wrong argument was taken');
assert(await refused(() => client.callTool({ name: 'no-such-tool', arguments: {} })), 'an unknown tool was called');

// Calls side by side keep their answers apart.
const many = await Promise.all(Array.from({ length: 50 }, (_, i) =>
  client.callTool({ name: 'echo', arguments: { text: `call ${i}` } })));
many.forEach((result, i) => assert.equal(result.content[0].text, `call ${i}`));

// Resources.
const { resourceTemplates } = await client.listResourceTemplates();
report.templates = resourceTemplates.map((t) => t.uriTemplate);
const { contents } = await client.readResource({ uri: 'demo://item/x' });
assert.equal(contents[0].uri, 'demo://item/x');

// A subscription: only what was subscribed to arrives, and it does arrive.
const seen = [];
let arrived;
const first = new Promise((resolve) => { arrived = resolve; });
onUpdated(({ params }) => { seen.push(params.uri); arrived(); });
let subscription;
if (modern) {
  subscription = await within(client.listen({ resourceSubscriptions: ['demo://item/x'] }), 'acknowledgement');
} else {
  report.stream = await within(streamOpen, 'open stream');
  await client.subscribeResource({ uri: 'demo://item/x' });
}
await client.callTool({ name: 'touch', arguments: { uri: 'demo://item/other' } });
await client.callTool({ name: 'touch', arguments: { uri: 'demo://item/x' } });
await within(first, 'notification');
assert.deepEqual(seen, ['demo://item/x']);
report.updated = seen;

// The end: unsubscribed, ended, and no further notification.
if (modern) await subscription.close();
else await client.unsubscribeResource({ uri: 'demo://item/x' });
await client.callTool({ name: 'touch', arguments: { uri: 'demo://item/x' } });
if (!modern) {
  await client.ping();
  await transport.terminateSession();
}
assert.deepEqual(seen, ['demo://item/x'], 'notified after the end of the subscription');
await client.close();
console.log(JSON.stringify(report));
