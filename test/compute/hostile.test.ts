import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import {
  CALL_LIMITS,
  type CallLimits,
  type Execution,
  type Source,
} from '../../src/compute/execution.js';
import { WorkerPool } from '../../src/compute/sandbox/worker-pool.js';
import { failureOf, oneProcedure, parsed, WORKER_FILE } from './calls.js';
import { MemorySource } from './memory-source.js';

const TIMEOUT_MS = 60_000;

let pool: WorkerPool;

beforeAll(() => {
  pool = new WorkerPool({
    clock: systemClock,
    workers: 3,
    callsWaitingMax: 100,
    workerFile: WORKER_FILE,
  });
});
afterAll(() => pool.close());

let bundles = 0;

function call(code: string, limits: Partial<CallLimits> = {}, source: Source = new MemorySource()) {
  bundles += 1;
  return callAgain(`hostile-${bundles}`, code, limits, source);
}

function callAgain(
  hash: string,
  code: string,
  limits: Partial<CallLimits> = {},
  source: Source = new MemorySource(),
): Promise<Execution> {
  return pool.run(
    {
      bundle: { hash, code },
      ...{ name: 'p', args: 'null', nowMs: 0, seed: 1, origin: '' },
      limits: { ...CALL_LIMITS, ...limits },
    },
    'cp',
    source,
  );
}

const GOOD = oneProcedure(`ctx.put('sum', ctx.get('a') + 1); return ctx.get('sum');`);

const TOO_LONG = /^PROCEDURE_LIMIT .*computeMsMax/;
/** Deeper than it can. */
const TOO_DEEP = /^PROCEDURE_LIMIT .*stackBytesMax/;
/** As `TOO_DEEP`, until its time or its memory ends, too. */
const TOO_DEEP_FOR_LONG = /^PROCEDURE_LIMIT /;
const TOO_MUCH = /^PROCEDURE_LIMIT .*memoryBytesMax/;
const TOO_LONG_OR_MUCH = /^PROCEDURE_LIMIT .*(computeMsMax|memoryBytesMax)/;

/** What it does, the body of its handler, and what its caller is told. */
const HOSTILE: readonly (readonly [name: string, body: string, told: RegExp])[] = [
  ['an endless loop', `for (;;) {}`, TOO_LONG],
  [
    'an endless loop that catches everything',
    `for (;;) { try { for (;;) {} } catch {} }`,
    TOO_LONG,
  ],
  ['an endless loop in finally', `try { throw 1 } finally { for (;;) {} }`, TOO_LONG],
  [
    'an endless chain of promises',
    `const next = () => Promise.resolve().then(next); return next();`,
    // Each promise waits for the next one, so that it takes more and more memory, too: which limit is first depends on the machine.
    TOO_LONG_OR_MUCH,
  ],
  [
    'an endless chain behind its result',
    `const next = () => Promise.resolve().then(next); next(); return 1;`,
    TOO_LONG_OR_MUCH,
  ],
  [
    'a promise that never settles',
    `return new Promise(() => {});`,
    /PROCEDURE_FAILED .*never comes/,
  ],
  ['arrays without end', `const all = []; for (;;) all.push(new Array(1000).fill(1));`, TOO_MUCH],
  ['buffers without end', `const all = []; for (;;) all.push(new ArrayBuffer(1 << 20));`, TOO_MUCH],
  [
    'strings without end',
    `const all = []; for (let i = 0; ; i += 1) all.push(String(i).repeat(10000));`,
    TOO_MUCH,
  ],
  ['a string that doubles', `let s = 'x'; for (;;) s += s;`, TOO_MUCH],
  ['a huge string at once', `return 'x'.repeat(2 ** 30 - 1);`, TOO_MUCH],
  ['a string that is filled', `return 'x'.padStart(2e8).length;`, TOO_MUCH],
  ['a string of many', `return String.raw({ raw: Array(1e6).fill('x'.repeat(100)) });`, TOO_MUCH],
  ['a string that is split', `return 'x'.repeat(4e6).split('').length;`, TOO_MUCH],
  ['a string that is encoded', `return encodeURIComponent('€'.repeat(2e6)).length;`, TOO_MUCH],
  ['a string that is normalized', `return '\ufdfa'.repeat(1e6).normalize('NFKD');`, TOO_MUCH],
  ['an array that triples', `let a = [1]; for (;;) a = a.concat(a, a);`, TOO_MUCH],
  [
    'a buffer that grows',
    `const b = new ArrayBuffer(8, { maxByteLength: 2 ** 30 }); b.resize(2 ** 29);`,
    TOO_MUCH,
  ],
  [
    'a map without end',
    `const m = new Map(); for (let i = 0; ; i += 1) m.set(i, { i });`,
    TOO_MUCH,
  ],
  [
    'a huge number',
    `return String(7n ** (7n ** 9n));`,
    /^PROCEDURE_(FAILED the procedure threw|LIMIT)/,
  ],
  ['deep recursion', `const f = () => f() + 1; return f();`, TOO_DEEP],
  ['a deep text', `return JSON.parse('['.repeat(1e5) + ']'.repeat(1e5));`, TOO_DEEP],
  [
    'deep recursion that catches itself',
    `const f = () => { try { return f(); } catch { return f(); } }; return f();`,
    TOO_DEEP_FOR_LONG,
  ],
  [
    'a deep result',
    `let o = {}; for (let i = 0; i < 100000; i += 1) o = { o }; return o;`,
    TOO_DEEP,
  ],
  ['a catastrophic regular expression', `return /^(a+)+$/.test('a'.repeat(50) + 'b');`, TOO_LONG],
  ['a huge result', `return 'x'.repeat(2_000_000);`, /^PROCEDURE_LIMIT .*resultBytesMax/],
  [
    'a result that holds itself',
    `const o = {}; o.o = o; return o;`,
    /^PROCEDURE_FAILED .*circular/i,
  ],
  ['a result with an endless getter', `return { get x() { for (;;) {} } };`, TOO_LONG],
  [
    'a proxy as result',
    `return new Proxy({}, { ownKeys() { for (;;) {} }, get() { for (;;) {} } });`,
    TOO_LONG,
  ],
  ['a thenable that never ends', `return { then() { for (;;) {} } };`, TOO_LONG],
  [
    'a getter as then',
    `return { get then() { throw new Error('odd'); } };`,
    /^PROCEDURE_FAILED .*odd/,
  ],
  ['toJSON without end', `return { toJSON() { for (;;) {} } };`, TOO_LONG],
  ['throwing nothing', `throw undefined;`, /^PROCEDURE_FAILED .*undefined/],
  ['throwing a getter', `throw { get message() { for (;;) {} } };`, TOO_LONG],
  [
    'throwing a proxy',
    `throw new Proxy({}, { get() { throw new Error('odd'); } });`,
    /cannot be shown/,
  ],
  [
    'throwing a huge message',
    `throw new Error('x'.repeat(3e6));`,
    /^PROCEDURE_FAILED the procedure threw x+… \(errorBytesMax is 4096\)$/,
  ],
  [
    'throwing a huge name',
    `const e = new Error('x'); e.name = 'N'.repeat(3e6); throw e;`,
    /^PROCEDURE_FAILED the procedure threw N+… \(errorBytesMax is 4096\)$/,
  ],
  [
    'a huge reason to abort',
    `ctx.abort('é'.repeat(1e6));`,
    /^PROCEDURE_ABORTED é+… \(errorBytesMax is 4096\)$/,
  ],
  ['throwing a symbol', `throw Symbol('odd');`, /^PROCEDURE_FAILED/],
  [
    'throwing what cannot be a string',
    `throw { message: { toString() { throw 1; } } };`,
    /^PROCEDURE_FAILED .*cannot be shown/,
  ],
  ['polluting a prototype', `Object.prototype.polluted = 1;`, /^PROCEDURE_FAILED .*TypeError/],
  [
    'replacing a function that all use',
    `Array.prototype.push = () => 0;`,
    /^PROCEDURE_FAILED .*TypeError/,
  ],
  [
    'replacing a prototype',
    `Object.setPrototypeOf(Array.prototype, { evil: 1 });`,
    /^PROCEDURE_FAILED .*TypeError/,
  ],
  ['writing an undeclared global', `evil = 1;`, /^PROCEDURE_FAILED .*ReferenceError/],
  [
    'writing the real global',
    `Object.getPrototypeOf(globalThis).evil = 1;`,
    /^PROCEDURE_FAILED .*TypeError/,
  ],
  [
    'replacing JSON',
    `globalThis.JSON = { stringify: () => '1' };`,
    /^PROCEDURE_FAILED .*TypeError/,
  ],
  ['replacing a function of ctx', `ctx.get = () => 1;`, /^PROCEDURE_FAILED .*TypeError/],
  [
    'reading without end',
    `for (let i = 0; ; i += 1) ctx.get('k' + i);`,
    /LIMIT .*(readsMax|computeMs)/,
  ],
  [
    'reading without end, and catching it',
    `for (let i = 0; i < 100; i += 1) { try { ctx.get('k' + i); } catch {} } return 1;`,
    /LIMIT .*readsMax/,
  ],
  ['writing without end', `for (let i = 0; ; i += 1) ctx.put('k' + i, 1);`, /LIMIT .*writesMax/],
  [
    'a huge write',
    `for (let i = 0; i < 5; i += 1) ctx.put('k' + i, 'x'.repeat(900_000));`,
    /LIMIT .*writeBytesMax/,
  ],
  ['a key that is no string', `ctx.get({ toString() { for (;;) {} } });`, /must be a string/],
  ['half a character as key', `ctx.put('\\ud800', 1);`, /INVALID_ARGUMENT/],
  ['a key with the character 0', `ctx.put('a\\0b', 1);`, /INVALID_ARGUMENT/],
  ['a key that is too long', `ctx.get('k'.repeat(70000));`, /KEY_TOO_LARGE/],
  [
    'a search that its interpreter does not interrupt',
    `return Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 3);`,
    TOO_LONG,
  ],
  [
    'joining nothing, very often',
    `const a = []; a.length = 2 ** 32 - 1; return a.join('');`,
    TOO_LONG_OR_MUCH,
  ],
  [
    'a long search again and again',
    `const s = 'a'.repeat(2e6); for (;;) s.lastIndexOf('b');`,
    TOO_LONG,
  ],
  [
    'a large text again and again',
    `const a = Array(2e4).fill([]); for (;;) JSON.stringify(a, null, 10);`,
    TOO_LONG_OR_MUCH,
  ],
  [
    'a proxy with many keys as result',
    `const keys = Array.from({ length: 3e4 }, (_, i) => 'k' + i);
     return new Proxy({}, { ownKeys: () => keys, getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }) });`,
    TOO_LONG_OR_MUCH,
  ],
  ['sorting with an endless comparison', `return [3, 2, 1].sort(() => { for (;;) {} });`, TOO_LONG],
];

const LIMITS: Partial<CallLimits> = {
  readsMax: 50,
  writesMax: 1000,
  memoryBytesMax: 8 * 1024 * 1024,
};

describe('a hostile procedure', () => {
  test.each(HOSTILE)(
    '%s: its caller is told, and the next call is served',
    { timeout: TIMEOUT_MS },
    async (_name, body, told) => {
      // Time enough to reach the other limits first.
      const computeMsMax = [TOO_LONG, TOO_LONG_OR_MUCH, TOO_DEEP_FOR_LONG].includes(told)
        ? 100
        : 30_000;
      const execution = await call(oneProcedure(body), { ...LIMITS, computeMsMax });
      expect(failureOf(execution)).toMatch(told);
      const source = new MemorySource({ a: 41 });
      // As many as there are threads: the one that served it, too.
      for (const next of await Promise.all([
        callAgain('good', GOOD, {}, source),
        callAgain('good', GOOD, {}, source),
      ])) {
        expect(parsed(next)).toBe(42);
      }
    },
  );

  test.each([
    `throw new Error('é'.repeat(1e6));`,
    `throw '\\u{1f600}'.repeat(1e6);`,
    `ctx.abort('x'.repeat(3e6));`,
    `const e = new Error('x'); e.stack = 'y'.repeat(3e6); throw e;`,
  ])('has no room in its error: %s', { timeout: TIMEOUT_MS }, async (body) => {
    const execution = await call(oneProcedure(body));
    if (execution.ok) throw new Error('it did not fail');
    const { message, details } = execution.error;
    const stack = String(details.stack ?? '');

    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4096);
    expect(Buffer.byteLength(stack)).toBeLessThanOrEqual(8192);
    expect(`${message} ${stack}`).toMatch(/… \(error(Stack)?BytesMax is \d+\)/);
  });

  test('does not hold up a call in another thread, nor the event loop', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const order: string[] = [];
    let turns = 0;
    const turning = setInterval(() => {
      turns += 1;
    }, 1);
    // Longer than a thread takes to start, should one be missing.
    const hostile = call(oneProcedure('for (;;) {}'), { computeMsMax: 3000 }).then(() =>
      order.push('hostile'),
    );
    const source = new MemorySource({ a: 1 });
    await call(GOOD, {}, source).then(() => order.push('good'));
    await hostile;
    clearInterval(turning);

    expect(order).toEqual(['good', 'hostile']);
    expect(turns).toBeGreaterThan(10);
  });

  test.each([
    'process',
    'require',
    'globalThis.process',
    'module',
    'fetch',
    'setTimeout',
    'WebAssembly',
    'SharedArrayBuffer',
    'Atomics',
    'WeakRef',
    'FinalizationRegistry',
    'console',
    'performance',
    'std',
    'os',
    'host',
    'instantiate',
  ])('finds no %s', { timeout: TIMEOUT_MS }, async (name) => {
    expect(parsed(await call(oneProcedure(`return typeof ${name};`)))).toBe('undefined');
  });

  test('gets to nothing of this process through constructors', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const body = `
        const found = [];
        for (const f of [ctx.get, ctx.scan, Math.random, Date, (async () => {})]) {
          const outer = f.constructor('return typeof process + typeof require + (this === undefined ? "" : typeof this.process)')();
          found.push(typeof outer === 'string' ? outer : 'promise');
        }
        return found;`;
    const found = parsed(await call(oneProcedure(body))) as string[];

    for (const one of found)
      expect(['undefinedundefined', 'undefinedundefinedundefined', 'promise']).toContain(one);
  });

  test('cannot tell how long it takes', { timeout: TIMEOUT_MS }, async () => {
    const body = `
      const from = Date.now(); for (let i = 0; i < 300000; i += 1);
      return [Date.now() - from, new Date() - from, ctx.now - from];`;

    expect(parsed(await call(oneProcedure(body), { computeMsMax: 5000 }))).toEqual([0, 0, 0]);
  });
});

describe('nothing of a call is there in the next one', () => {
  test.each([
    ['a variable of its module', `seen.push(1); return seen.length;`],
    ['a property of its function', `helper.n = (helper.n ?? 0) + 1; return helper.n;`],
    ['a property of its class', `Thing.n = (Thing.n ?? 0) + 1; return Thing.n;`],
    ['a global', `globalThis.n = (globalThis.n ?? 0) + 1; return globalThis.n;`],
    ['an undeclared variable', `try { n = 1; } catch {} return typeof n === 'undefined' ? 1 : 2;`],
    [
      'a variable of an indirect eval',
      `try { (0, eval)('var n = 1'); } catch {} return typeof n === 'undefined' ? 1 : 2;`,
    ],
    [
      'a property of what all share',
      `try { Math.n = 1; } catch {} return Math.n === undefined ? 1 : 2;`,
    ],
    [
      'a property of a template',
      `const t = ((s) => s)\`x\`; try { t.n = 1; } catch {} return t.n === undefined ? 1 : 2;`,
    ],
  ])('%s', { timeout: TIMEOUT_MS }, async (name, body) => {
    const before = 'let seen = []; function helper() {} class Thing {}';
    const code = oneProcedure(body, 'cp', before);
    const hash = `state-${name}`;
    const results = [];
    for (let i = 0; i < 4; i += 1) results.push(parsed(await callAgain(hash, code)));

    expect(results).toEqual([1, 1, 1, 1]);
  });

  test('an own property may have the name of a frozen one', { timeout: TIMEOUT_MS }, async () => {
    const body = `
      const o = {}; o.toString = () => 'mine'; o.constructor = 1;
      const e = new Error('a'); e.message = 'b'; e.name = 'C';
      function F() {} F.prototype.toString = () => 'F';
      return [String(o), o.constructor, String(e), String(new F()), Object.keys(o)];`;

    expect(parsed(await call(oneProcedure(body)))).toEqual([
      ...['mine', 1, 'C: b', 'F', ['toString', 'constructor']],
    ]);
  });

  test('a function of ctx', { timeout: TIMEOUT_MS }, async () => {
    const body = `try { ctx.get.n = 1; } catch {} return ctx.get.n === undefined ? 1 : 2;`;

    for (let i = 0; i < 2; i += 1) {
      expect(parsed(await callAgain('state-of-ctx', oneProcedure(body)))).toBe(1);
    }
  });

  test('what is left to do: it is done in its own call', { timeout: TIMEOUT_MS }, async () => {
    const body = `
      Promise.resolve().then(() => Promise.resolve()).then(() => { ctx.put('late', 1); });
      return 1;`;
    const [first, second] = [
      await callAgain('late', oneProcedure(body)),
      await callAgain('late', oneProcedure(body)),
    ];

    for (const one of [first, second]) expect(one.ok && one.effects.writes).toHaveLength(1);
  });
});
