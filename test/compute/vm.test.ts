import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { effectsOf, failureOf, oneProcedure, parsed, resultOf, Sandbox } from './calls.js';
import { MemorySource } from './memory-source.js';

const ACCOUNTS = { alice: 100, bob: 5 };

const TRANSFER = oneProcedure(`
  const from = ctx.get(args.from) ?? 0;
  const to = ctx.get(args.to) ?? 0;
  if (from < args.amount) ctx.abort('not enough');
  ctx.put(args.from, from - args.amount);
  ctx.put(args.to, to + args.amount);
  return { left: ctx.get(args.from) };
`);

describe('a call', () => {
  test('gives its result, and what it has read and would write', async () => {
    const sandbox = await Sandbox.with(TRANSFER);
    const args = { from: 'alice', to: 'carol', amount: 30 };

    const execution = sandbox.call({ args, source: new MemorySource(ACCOUNTS) });

    expect(parsed(execution)).toEqual({ left: 70 });
    expect(effectsOf(execution)).toEqual({
      reads: [
        { key: 'alice', modRevision: 1 },
        { key: 'carol', modRevision: 0 },
      ],
      ranges: [],
      writes: [
        { key: 'alice', value: '70' },
        { key: 'carol', value: '30' },
      ],
      updates: [],
      events: [],
      cells: [],
    });
  });

  test('reads a key once, and then what it has written', async () => {
    const source = new MemorySource(ACCOUNTS);
    const body = `
      const seen = [ctx.get('alice'), ctx.get('alice')];
      ctx.put('alice', { deep: [1] });
      seen.push(ctx.get('alice'));
      ctx.delete('alice');
      return [...seen, ctx.get('alice')];`;

    expect(await resultOf(body, { source })).toEqual([100, 100, { deep: [1] }, null]);
    expect(source.gets).toBe(1);
  });

  test('that aborts has no effects, also when it catches what abort throws', async () => {
    const sandbox = await Sandbox.with(
      oneProcedure(`ctx.put('a', 1); try { ctx.abort('no'); } catch {} return 'fine';`),
    );

    expect(failureOf(sandbox.call())).toBe('PROCEDURE_ABORTED no');
  });

  test('that throws says what and where', async () => {
    const sandbox = await Sandbox.with(oneProcedure(`throw new RangeError('too far');`));
    const execution = sandbox.call();

    expect(failureOf(execution)).toBe('PROCEDURE_FAILED the procedure threw RangeError: too far');
    expect(execution).toMatchObject({
      error: {
        outcome: 'not-applied',
        details: { stack: expect.stringContaining('procedures.js') },
      },
    });
  });

  test('may be asynchronous', async () => {
    const body = `return (async () => { await null; ctx.put('a', 1); return [await 7]; })();`;

    expect(await resultOf(body)).toEqual([7]);
  });

  test('of a name that is not there', async () => {
    const sandbox = await Sandbox.with(TRANSFER);

    expect(failureOf(sandbox.call({ name: 'tranfer' }))).toMatch(/^PROCEDURE_NOT_FOUND .*tranfer/);
    expect(failureOf(sandbox.call({ name: 'toString' }))).toMatch(/^PROCEDURE_NOT_FOUND/);
  });

  test('of code that cannot be loaded', async () => {
    const sandbox = await Sandbox.with('return {');

    expect(failureOf(sandbox.call())).toMatch(/^PROCEDURE_FAILED/);
    expect(failureOf(sandbox.call())).toMatch(/^PROCEDURE_FAILED/);
  });

  test('without a result gives null', async () => {
    expect(await resultOf('')).toBeNull();
  });

  test('logs', async () => {
    const sandbox = await Sandbox.with(oneProcedure(`ctx.log('a', 1, { b: [2] }, undefined);`));

    expect(sandbox.call().logs).toEqual(['a 1 {"b":[2]} undefined']);
  });

  test('cuts the lines that it logs by their bytes', async () => {
    const sandbox = await Sandbox.with(
      oneProcedure(`for (const n of [512, 513]) ctx.log('é'.repeat(n));`),
    );

    expect(sandbox.call().logs).toEqual(['é'.repeat(512), `${'é'.repeat(510)}…`]);
  });

  test('emits events and updates without reading', async () => {
    const source = new MemorySource(ACCOUNTS);
    const sandbox = await Sandbox.with(
      oneProcedure(`
        ctx.add('n', 2); ctx.max('m', 3); ctx.setIfAbsent('s', 'x');
        ctx.emit('paid', { amount: 1 }); ctx.emit('bare');`),
    );

    expect(effectsOf(sandbox.call({ source }))).toEqual({
      reads: [],
      ranges: [],
      writes: [],
      updates: [
        { type: 'add', key: 'n', by: 2 },
        { type: 'max', key: 'm', by: 3 },
        { type: 'set-if-absent', key: 's', value: '"x"' },
      ],
      cells: [],
      events: [
        { name: 'paid', payload: '{"amount":1}' },
        { name: 'bare', payload: 'null' },
      ],
    });
    expect(source.gets).toBe(0);
  });

  test.each([
    [`ctx.add('n', 1); ctx.get('n');`],
    [`ctx.add('n', 1); ctx.put('n', 1);`],
    [`ctx.put('n', 1); ctx.max('n', 1);`],
    [`ctx.setIfAbsent('n', 1); return ctx.scan({ prefix: 'n' });`],
  ])('may not mix updates with reads and writes of a key: %s', async (body) => {
    const sandbox = await Sandbox.with(oneProcedure(body));

    expect(failureOf(sandbox.call())).toMatch(/^PROCEDURE_FAILED .*INVALID_ARGUMENT.*n /);
  });

  test.each([
    [`ctx.put('a', undefined)`, /undefined cannot be stored/],
    [`ctx.put('', 1)`, /KEY_EMPTY/],
    [`ctx.add('a', 'x')`, /finite/],
    [`return ctx.scan({ prefix: 7 })`, /prefix must be a string/],
    [`return ctx.scan({ prefix: 'a', to: 'b' })`, /either prefix/],
    [`return ctx.scan({ limit: -1 })`, /limit must be/],
  ])('with a bad argument is refused: %s', async (body, message) => {
    const sandbox = await Sandbox.with(oneProcedure(body));

    expect(failureOf(sandbox.call())).toMatch(message);
  });
});

describe('code that takes long to instantiate', () => {
  // Its memory is put back behind each call, where other code is instantiated anew.
  const SLOW = `
    const zeros = new Array(1_000_000).fill(0);
    const table = Array.from({ length: 50_000 }, (_, i) => ({ i }));
    const started = Date.now(); const chance = Math.random();
    let calls = 0;`;

  test.each([
    ['a result', `calls += 1; table.push(1); return [calls, table.length];`, '[1,50001]'],
    [
      'an error',
      `calls += 1; table.length = 0; throw new Error('call ' + calls);`,
      'PROCEDURE_FAILED the procedure threw call 1',
    ],
    [
      'more memory than it began with',
      `calls += 1; const all = []; for (let i = 0; i < 20; i += 1) all.push(new Uint8Array(1 << 20)); return [calls, all.length];`,
      '[1,20]',
    ],
    [
      'an asynchronous end',
      `calls += 1; return (async () => { await null; calls += 1; return calls; })();`,
      '2',
    ],
    ['a read', `calls += 1; return [ctx.get('a'), calls];`, '[7,1]'],
    ['a change of zeros', `zeros[700_000] += 1; return zeros[700_000];`, '1'],
    ['a change of its time', `return [started, chance, ctx.now];`, '[0,0.26642920868471265,5]'],
  ])('starts from the same state after %s', async (_name, body, told) => {
    const sandbox = await Sandbox.with(oneProcedure(body, 'cp', SLOW));
    const source = new MemorySource({ a: 7 });

    for (let i = 0; i < 5; i += 1) {
      const execution = sandbox.call({ source, nowMs: 5, limits: { computeMsMax: 30_000 } });
      expect(execution.ok ? execution.result : failureOf(execution)).toBe(told);
    }
    expect(sandbox.vm.isSpent).toBe(false);
    expect(sandbox.vm.hasImage).toBe(true);
  });

  test('is not seen: time and chance are the same where code is instantiated for each call', async () => {
    const before = 'const started = Date.now(); const chance = Math.random();';
    const nothingTakesLong = { ...systemClock, monotonicMs: () => 0 };
    const code = oneProcedure('return [started, chance, ctx.now];', 'cp', before);
    const sandbox = await Sandbox.with(code, {}, nothingTakesLong);

    expect(parsed(sandbox.call({ nowMs: 5 }))).toEqual([0, 0.26642920868471265, 5]);
    expect(sandbox.vm.hasImage).toBe(false);
  });
});

describe('code that tries to be more than the body of a function', () => {
  test.each([
    [
      'with a state outside of its calls',
      `return {}; }); let leaked = 0; (function (globalThis) {
        return { p: { mode: 'cp', handler: () => (leaked += 1) } };`,
    ],
    [
      'with changes of what all use',
      `}); JSON.stringify = () => 'no JSON'; (function () { return { p: { mode: 'cp', handler() {} } };`,
    ],
    ['with nothing of it left', `}); delete globalThis.Reflect; (function () { return {};`],
    ['with something else', `}), (7`],
  ])('is refused: %s', async (_name, code) => {
    const sandbox = await Sandbox.with(code);

    for (let i = 0; i < 2; i += 1) {
      expect(failureOf(sandbox.call())).toMatch(/^PROCEDURE_FAILED/);
    }
  });
});

/** Goes from everything that it knows to everything that it leads to, and tries to mark all of it. */
const CRAWLER = `
  const found = []; const seen = new Set(); let marks = 0;
  const roots = { ctx, globalThis: Object.getPrototypeOf(globalThis), fn() {}, afn: async () => {},
    gen: function* () {}, agen: async function* () {}, it: [][Symbol.iterator](), map: new Map()[Symbol.iterator](),
    set: new Set()[Symbol.iterator](), str: ''[Symbol.iterator](), all: 'a'.matchAll(/a/g), from: Iterator.from({ next() {} }),
    concat: Iterator.concat([]), mapped: [].values().map((x) => x), promise: Promise.resolve(1), date: new Date(), re: /a/, error: new Error('x'),
    own: Object.getOwnPropertyDescriptor(Object.prototype, 'toString') };
  const visit = (path, object) => {
    if ((typeof object !== 'object' && typeof object !== 'function') || object === null || seen.has(object)) return;
    seen.add(object);
    if (Object.hasOwn(object, 'mark')) found.push(path);
    try { object.mark = 1; marks += 1; } catch {}
    visit(path + '^', Object.getPrototypeOf(object));
    for (const key of Reflect.ownKeys(object)) {
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key);
      for (const next of [value, get, set]) visit(path + '.' + String(key), next);
    }
  };
  for (const [name, root] of Object.entries(roots)) visit(name, root);
  return { found, seen: seen.size > 200, marks: marks > 5 };`;

test('what a call marks, wherever it gets, is not there in the next one', async () => {
  const sandbox = await Sandbox.with(oneProcedure(CRAWLER));

  for (let i = 0; i < 3; i += 1) {
    const execution = sandbox.call({ limits: { computeMsMax: 30_000 } });
    expect(parsed(execution)).toEqual({ found: [], seen: true, marks: true });
  }
  expect(sandbox.vm.isSpent).toBe(false);
});

describe('texts', () => {
  test.each([['ключ'], ['\ufeffuser'], ['a b'], ['"quoted\\'], ['😀']])(
    'are the same inside and outside: %j',
    async (key) => {
      const source = new MemorySource({ [key]: key });
      const body = `ctx.put(args + '2', ctx.get(args)); return [args, ctx.get(args) === args];`;
      const sandbox = await Sandbox.with(oneProcedure(body));
      const execution = sandbox.call({ args: key, source });

      expect(parsed(execution)).toEqual([key, true]);
      expect(effectsOf(execution)).toMatchObject({
        reads: [{ key, modRevision: 1 }],
        writes: [{ key: `${key}2`, value: JSON.stringify(key) }],
      });
    },
  );

  test.each([
    ['what is not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a byte 0', Buffer.from('2\0!!')],
    ['what is not JSON', Buffer.from('plain text')],
  ])('that cannot be read are told: %s', async (_name, value) => {
    for (const read of [`ctx.get('a')`, `ctx.scan({ prefix: 'a' })`]) {
      const source = new MemorySource({ a: 1 });
      source.replace('a', value);
      const sandbox = await Sandbox.with(
        oneProcedure(`try { return ${read}; } catch { return 1; }`),
      );

      expect(failureOf(sandbox.call({ source }))).toMatch(/^VALUE_NOT_DECODABLE/);
    }
  });

  test('that a call fails of are among what it has read', async () => {
    const source = new MemorySource({ a: 1, b: 2, c: 3 });
    source.replace('b', Buffer.from([0xff]));
    const readsOf = async (body: string): Promise<unknown> => {
      const execution = (await Sandbox.with(oneProcedure(body))).call({ source });
      return execution.ok ? execution : execution.reads;
    };

    expect(await readsOf(`ctx.get('b')`)).toMatchObject({
      reads: [{ key: Buffer.from('b'), modRevision: 1 }],
    });
    expect(await readsOf(`return ctx.scan({ from: 'a' })`)).toMatchObject({
      ranges: [{ from: Buffer.from('a'), to: Buffer.from('b\0'), keys: 2, modRevisionMax: 1 }],
    });
  });
});

describe('a scan', () => {
  const STORED = { a: 1, b1: 2, b2: 3, b3: 4, c: 5 };

  test('gives the keys of a prefix, with the own writes in their places', async () => {
    const body = `
      ctx.put('b0', 'new'); ctx.delete('b2'); ctx.put('b3', 'changed'); ctx.put('c', 'outside');
      return ctx.scan({ prefix: 'b' });`;

    expect(await resultOf(body, { source: new MemorySource(STORED) })).toEqual([
      { key: 'b0', value: 'new' },
      { key: 'b1', value: 2 },
      { key: 'b3', value: 'changed' },
    ]);
  });

  test.each([
    // All of it: also the keys that are not there yet.
    [`ctx.scan({ prefix: 'b' })`, { from: 'b', to: 'c', keys: 3, modRevisionMax: 4 }],
    // As far as it went: what lies behind may change.
    [`ctx.scan({ prefix: 'b', limit: 2 })`, { from: 'b', to: 'b2\0', keys: 2, modRevisionMax: 3 }],
    [`ctx.scan({ from: 'c' })`, { from: 'c', to: null, keys: 1, modRevisionMax: 5 }],
    [`ctx.scan({ from: 'x', to: 'y' })`, { from: 'x', to: 'y', keys: 0, modRevisionMax: 0 }],
  ])('%s remembers the range that it has read', async (scan, range) => {
    const sandbox = await Sandbox.with(oneProcedure(`return ${scan};`));
    const execution = sandbox.call({ source: new MemorySource(STORED) });

    expect(effectsOf(execution)).toMatchObject({ ranges: [range] });
  });

  test('that ends with an own write has read up to there', async () => {
    const sandbox = await Sandbox.with(
      oneProcedure(`ctx.put('b25', 1); return ctx.scan({ prefix: 'b', limit: 3 });`),
    );
    const execution = sandbox.call({ source: new MemorySource(STORED) });

    expect(parsed(execution)).toHaveLength(3);
    expect(effectsOf(execution)).toMatchObject({
      ranges: [{ from: 'b', to: 'b25\0', keys: 2, modRevisionMax: 3 }],
    });
  });

  test('reads no more than it needs, and counts no more', async () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]));
    const source = new MemorySource(many);
    const body = `
      for (let i = 0; i < 20; i += 1) ctx.scan({ prefix: 'k', limit: 1 });
      ctx.delete('k0');
      return ctx.scan({ prefix: 'k', limit: 1 });`;

    expect(await resultOf(body, { source, limits: { readsMax: 22 } })).toEqual([
      { key: 'k1', value: 1 },
    ]);
    expect(source.keysScanned).toBe(22);
  });

  test('takes large values in small pages, up to a bound', async () => {
    const large = 'x'.repeat(100_000);
    const source = new MemorySource({ a: large, b: large, c: large, d: large });
    const sandbox = await Sandbox.with(
      oneProcedure(`return (async () => (await ctx.scan()).length)();`),
    );

    expect(parsed(sandbox.call({ source }))).toBe(4);
    expect(source.scans).toBe(2);
    expect(failureOf(sandbox.call({ source, limits: { readBytesMax: 300_000 } }))).toMatch(
      /^PROCEDURE_LIMIT .*readBytesMax/,
    );
  });

  test('that ends with an own write behind all that is stored has read up to there', async () => {
    const sandbox = await Sandbox.with(
      oneProcedure(`ctx.put('c2', 1); ctx.put('d', 1); return ctx.scan({ from: 'c', limit: 2 });`),
    );
    const execution = sandbox.call({ source: new MemorySource(STORED) });

    expect(effectsOf(execution)).toMatchObject({
      ranges: [{ from: 'c', to: 'c2\0', keys: 1, modRevisionMax: 5 }],
    });
  });

  test('of nothing reads nothing', async () => {
    const source = new MemorySource(STORED);

    expect(await resultOf(`return ctx.scan({ from: 'c', to: 'b' });`, { source })).toEqual([]);
    expect(await resultOf(`return ctx.scan({ limit: 0 });`, { source })).toEqual([]);
    expect(source.scans).toBe(0);
  });

  test('goes through more pages than one', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 1203 }, (_, i) => [`k${String(i).padStart(4, '0')}`, i]),
    );
    const source = new MemorySource(many);
    const body = `return (async () => (await ctx.scan({ prefix: 'k' })).map(({ value }) => value))();`;

    // As long as it likes: this is about pages.
    const limits = { computeMsMax: 10_000 };
    expect(await resultOf(body, { source, limits })).toEqual(Object.values(many));
    expect(source.scans).toBe(3);
  });
});

describe('time and chance', () => {
  test('stand still in a call and are those that it was given', async () => {
    const body = `
      const at = new Date();
      return [ctx.now, Date.now(), at.getTime(), at instanceof Date, new Date(5).getTime(),
        at.constructor === Date, typeof Date(), Date.UTC(1970, 0, 1)];`;

    expect(await resultOf(body, { nowMs: 1234 })).toEqual([
      ...[1234, 1234, 1234, true, 5, true, 'string', 0],
    ]);
  });

  test('random numbers follow from the seed', async () => {
    const sandbox = await Sandbox.with(oneProcedure(`return [ctx.random(), Math.random()];`));
    const [first, again, other] = [1, 1, 2].map((seed) => parsed(sandbox.call({ seed })));

    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    for (const number of first as number[]) expect(number >= 0 && number < 1).toBe(true);
  });
});

describe('arguments', () => {
  const schema = (validate: string): string =>
    `return { p: { mode: 'cp', args: { '~standard': { version: 1, vendor: 'test', validate: ${validate} } }, handler: (ctx, args) => args } };`;

  test('are what the schema makes of them', async () => {
    const sandbox = await Sandbox.with(schema('(value) => ({ value: { doubled: value * 2 } })'));

    expect(parsed(sandbox.call({ args: 21 }))).toEqual({ doubled: 42 });
  });

  test('may be checked asynchronously', async () => {
    const sandbox = await Sandbox.with(schema('async (value) => ({ value: [value] })'));

    expect(parsed(sandbox.call({ args: 1 }))).toEqual([1]);
  });

  test('that the schema refuses are told to the caller', async () => {
    const sandbox = await Sandbox.with(
      schema(
        `() => ({ issues: [{ message: 'not a number', path: ['a', { key: 'b' }] }, { message: 'odd' }] })`,
      ),
    );

    expect(failureOf(sandbox.call())).toBe('INVALID_ARGUMENT arguments: a.b: not a number; odd');
  });
});

describe('a procedure declared as read', () => {
  test.each([
    `ctx.put('a', 1)`,
    `ctx.delete('a')`,
    `ctx.add('a', 1)`,
    `ctx.setIfAbsent('a', 1)`,
    `ctx.emit('a')`,
    `try { ctx.put('a', 1) } catch {}`,
  ])('does not write: %s', async (body) => {
    const sandbox = await Sandbox.with(oneProcedure(body, 'read'));

    expect(failureOf(sandbox.call({ mode: 'read' }))).toMatch(/^PROCEDURE_READ_ONLY/);
  });

  test('is not called as another one', async () => {
    const sandbox = await Sandbox.with(oneProcedure(`return 1;`, 'read'));

    expect(failureOf(sandbox.call({ mode: 'cp' }))).toMatch(/^PROCEDURE_NOT_FOUND .*read/);
    expect(parsed(sandbox.call({ mode: 'read' }))).toBe(1);
  });
});
