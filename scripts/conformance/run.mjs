// Runs the public MCP conformance suites against our servers and compares what
// they find with expected.json; see ../conformance.sh, which calls it:
//
//   node run.mjs --suites DIR --results DIR [--json] [--server NAME=BINARY]... [SCENARIO]
//
// Each suite gets a server of its own, on a port of its own, so that they run
// side by side. A server must end by itself with SIGINT. Nothing is left
// behind, however this ends.
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    suites: { type: 'string' },
    results: { type: 'string' },
    json: { type: 'boolean', default: false },
    server: { type: 'string', multiple: true, default: [] },
  },
});
const [only] = positionals; // one scenario, to be looked at closely

const readyMax = 10_000; // milliseconds until a server listens
const endMax = 10_000; // until it has ended after SIGINT
const suiteMax = 150_000; // until a suite is done

// Packages are installed under the names conformance-VERSION. One scenario runs with the
// revision's wire format, as it does within its suite.
const suites = {
  '0.1.16': { version: '0.1.16', all: ['--suite', 'all', '--spec-version', '2025-11-25'], revision: '2025-11-25' },
  '0.2 2025-11-25': { version: '0.2.0-alpha.12', all: ['--requirements', '2025-11-25'], revision: '2025-11-25' },
  '0.2 2026-07-28': { version: '0.2.0-alpha.12', all: ['--requirements', '2026-07-28'], revision: '2026-07-28' },
};

const children = new Set();
const ended = (child) => child.exitCode !== null || child.signalCode !== null;

function start(command, args, stdio) {
  const child = spawn(command, args, { stdio });
  children.add(child);
  child.end = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => { children.delete(child); resolve(code ?? signal); });
  });
  child.end.catch(() => children.delete(child)); // whoever waits for it hears of it
  return child;
}

// stop ends this process and with it its children.
function stop(code) {
  for (const child of children) child.kill('SIGKILL');
  process.exit(code);
}
process.on('SIGINT', () => stop(130));
process.on('SIGTERM', () => stop(143));

// within rejects when promise takes longer than ms.
function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what} within ${ms} ms`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// serve starts a server on a free port; url is where it listens.
async function serve(binary) {
  const child = start(binary, ['--http', '127.0.0.1:0'], ['ignore', 'pipe', 'pipe']);
  let log = '';
  child.stderr.on('data', (chunk) => { log = (log + chunk).slice(-4000); });
  child.stderr.on('error', () => {});
  const listening = new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /^listening http (\S+)/.exec(line);
      if (found) resolve(found[1]);
    });
  });
  const died = child.end.then((code) => { throw new Error(`${binary} ended with ${code}\n${log}`); });
  died.catch(() => {});
  const address = await within(readyMax, Promise.race([listening, died]), `${binary} does not listen`);
  return { child, url: `http://${address}/mcp`, log: () => log };
}

// finish ends a server as Ctrl-C does and says what was wrong with that.
async function finish({ child, log }) {
  if (ended(child)) return `the server ended by itself with ${child.exitCode ?? child.signalCode}\n${log()}`;
  child.kill('SIGINT');
  try {
    const code = await within(endMax, child.end, 'the server has not ended');
    return code === 0 ? '' : `the server ended with ${code} after SIGINT\n${log()}`;
  } catch (e) {
    child.kill('SIGKILL');
    return e.message;
  }
}

// checks returns what a suite wrote, by scenario.
async function checks(dir) {
  const found = {};
  for (const name of (await readdir(dir)).sort()) {
    const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(name)?.[1];
    if (scenario) found[scenario] = JSON.parse(await readFile(path.join(dir, name, 'checks.json'), 'utf8'));
  }
  return found;
}

const count = (list, status) => list.filter((c) => c.status === status).length;
const totals = () => ({ passed: 0, failed: 0, warnings: 0, skipped: 0 });
function add(sum, list) {
  sum.passed += count(list, 'SUCCESS');
  sum.failed += count(list, 'FAILURE');
  sum.warnings += count(list, 'WARNING');
  sum.skipped += count(list, 'SKIPPED');
  return sum;
}

// judge compares the checks of a suite with what is expected: of each scenario
// the number of checks passed, and neither failure nor warning; null stands for
// a scenario that this server does not claim. It returns sums and problems.
function judge(found, expected) {
  const sum = { ...totals(), expected: 0, unclaimed: totals(), problems: [] };
  for (const scenario of new Set([...Object.keys(expected), ...Object.keys(found)])) {
    const list = found[scenario] ?? [];
    const want = expected[scenario];
    if (want === null) {
      add(sum.unclaimed, list);
      continue;
    }
    add(sum, list);
    sum.expected += want ?? 0;
    const got = add(totals(), list);
    if (!(scenario in found)) {
      sum.problems.push({ scenario, message: 'did not run' });
    } else if (got.passed !== want || got.failed || got.warnings) {
      const bad = list.filter((c) => !['SUCCESS', 'INFO'].includes(c.status));
      sum.problems.push({
        scenario,
        message: `${got.passed} passed, ${got.failed} failed, ${got.warnings} warnings; expected ${want ?? 'no such scenario'}`,
        checks: bad.map((c) => ({ id: c.id, status: c.status, message: c.errorMessage ?? c.description })),
      });
    }
  }
  return sum;
}

// run runs one suite against one server.
async function run({ server, binary, suite, expected }) {
  const began = Date.now();
  const dir = path.join(options.results, `${server} ${suite}`.replaceAll(' ', '-'));
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const { version, all, revision } = suites[suite];
  const what = only ? ['--scenario', only, '--spec-version', revision] : all;
  const entry = path.join(options.suites, `conformance-${version}`, 'dist/index.js');

  const target = await serve(binary);
  const child = start(process.execPath, [entry, 'server', '--url', target.url, '-o', dir, ...what], ['ignore', 'pipe', 'pipe']);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said += chunk; });
  try {
    await within(suiteMax, child.end, `${suite} is not done`);
  } catch (e) {
    child.kill('SIGKILL');
    said += e.message;
  }
  const unclean = await finish(target);
  const found = await checks(dir);
  const result = { server, suite, ...judge(found, expected), seconds: (Date.now() - began) / 1000 };
  if (unclean) result.problems.push({ scenario: 'end of the server', message: unclean });
  if (Object.keys(found).length === 0) result.problems.push({ scenario: 'suite', message: said.slice(-2000) });
  return { ...result, ok: result.problems.length === 0, details: only ? found : undefined };
}

function table(results) {
  const rows = [['server', 'suite', 'passed', 'expected', 'failed', 'warnings', 'skipped', 'not claimed', 'seconds', '']];
  for (const r of results) {
    const other = r.unclaimed.passed + r.unclaimed.failed;
    rows.push([r.server, r.suite, r.passed, r.expected, r.failed, r.warnings, r.skipped,
      other ? `${r.unclaimed.passed}/${other}` : '', r.seconds.toFixed(1), r.ok ? 'ok' : 'NOT OK']);
  }
  const width = rows[0].map((_, i) => Math.max(...rows.map((row) => String(row[i]).length)));
  return rows.map((row) => row.map((cell, i) =>
    i < 2 || i === row.length - 1 ? String(cell).padEnd(width[i]) : String(cell).padStart(width[i])).join('  ').trimEnd()).join('\n');
}

function print(results) {
  for (const r of results) {
    for (const [scenario, list] of Object.entries(r.details ?? {})) {
      process.stdout.write(`\n== ${r.server}, ${r.suite}, ${scenario}\n`);
      for (const c of list) {
        process.stdout.write(`${c.status.padEnd(7)}  ${c.id}: ${c.errorMessage ?? c.description}\n`);
        if (c.details && c.status !== 'SUCCESS') process.stdout.write(`${JSON.stringify(c.details, null, 2)}\n`);
      }
    }
  }
  process.stdout.write(`\n${table(results)}\n`);
  for (const r of results) {
    for (const p of r.problems) {
      process.stdout.write(`\n${r.server}, ${r.suite}: ${p.scenario}: ${p.message}\n`);
      for (const c of p.checks ?? []) process.stdout.write(`  ${c.status}  ${c.id}: ${c.message}\n`);
    }
  }
}

// wanted returns what is expected of a suite, or of the one scenario in it; null
// if the suite lacks that.
function wanted(expected) {
  if (!only) return expected;
  return only in expected ? { [only]: expected[only] } : null;
}

const book = JSON.parse(await readFile(new URL('expected.json', import.meta.url), 'utf8'));
const jobs = [];
for (const given of options.server) {
  const [server, binary] = given.split('=', 2);
  if (!(server in book)) throw new Error(`expected.json has no server ${server}`);
  for (const suite of Object.keys(suites)) {
    const expected = wanted(book[server][suite]);
    if (expected) jobs.push({ server, binary, suite, expected });
  }
}
if (jobs.length === 0) {
  process.stderr.write(only ? `no suite has a scenario ${only}\n` : 'no server to test\n');
  stop(2);
}
try {
  const results = await Promise.all(jobs.map(run));
  const ok = results.every((r) => r.ok);
  if (options.json) process.stdout.write(`${JSON.stringify({ node: process.version, ok, results }, null, 2)}\n`);
  else print(results);
  stop(ok ? 0 : 1);
} catch (e) {
  process.stderr.write(`${e.stack}\n`);
  stop(2);
}
