import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Execution, Source, StoredKey } from '../../src/compute/execution.js';
import { Forecast } from '../../src/compute/forecast.js';
import { Sandbox } from './calls.js';
import { MemorySource } from './memory-source.js';

/** A store of which all is at hand: calls are given what they will probably read. */
class AtHand implements Source {
  readonly #source: MemorySource;

  constructor(source: MemorySource) {
    this.#source = source;
  }

  get(key: Uint8Array): StoredKey | null {
    return this.#source.get(key);
  }

  peek(key: Uint8Array): StoredKey | null {
    return this.#source.get(key);
  }

  scan(query: Parameters<Source['scan']>[0]) {
    return this.#source.scan(query);
  }

  cell(key: string): Uint8Array | null {
    return this.#source.cell(key);
  }
}

/** Does what its arguments say, and tells what it has seen. */
const PROGRAM = `
const act = (ctx, [what, key, given], seen) => {
  const value = given === 'LONG' ? 'v'.repeat(5000) : given;
  switch (what) {
    case 'get': seen.push(ctx.get(key)); break;
    case 'put': ctx.put(key, value); break;
    case 'delete': ctx.delete(key); break;
    case 'add': ctx.add(key, 1); break;
    case 'default': ctx.setIfAbsent(key, value); break;
    case 'emit': ctx.emit('e', value); break;
    case 'log': ctx.log(key, value); break;
    case 'change': { const got = ctx.get(key); if (typeof got === 'object' && got !== null) got.more = 1; seen.push(got); break; }
    case 'abort': ctx.abort('no');
    case 'throw': throw new Error('thrown');
    case 'result': return { toJSON: () => { ctx.put('late', key); return [key, ctx.get('late')]; } };
  }
  return undefined;
};
const run = (ctx, { ops, catches, later }) => {
  const seen = [];
  let result;
  const all = () => {
    for (const op of ops) {
      try {
        result = act(ctx, op, seen) ?? result;
      } catch (error) {
        if (!catches) throw error;
        seen.push(String(error.message));
      }
    }
    return result ?? seen;
  };
  if (later === 'await') return (async () => { await null; return all(); })();
  if (later === 'behind') { Promise.resolve().then(() => ctx.put('behind', ctx.get('a'))); }
  return all();
};
return { p: { mode: 'cp', handler: run }, r: { mode: 'read', handler: run } };
`;

const STORED = { a: 1, b: { deep: [1] }, c: 'text', ['__proto__']: 5, _own: 6, 'x/1': 7 };

const KEYS = ['a', 'b', 'c', 'd', 'x/1', '__proto__', '_own', '', 'k\0', '\ud800', 'y'.repeat(300)];
const op = fc.tuple(
  fc.constantFrom(
    ...['get', 'get', 'get', 'put', 'put', 'delete', 'add', 'default', 'emit', 'log', 'change'],
    ...['abort', 'throw', 'result'],
  ),
  fc.constantFrom('a', 'b', 'c', 'd', ...KEYS),
  fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constant('LONG')),
);
const program = fc.record({
  ops: fc.array(op, { maxLength: 8 }),
  catches: fc.boolean(),
  later: fc.constantFrom(null, null, 'await', 'behind'),
});

/** Nothing can come of it any more, whatever it went on to do until it was stopped: how far that is differs. */
function isDoomed(execution: Execution): boolean {
  return !execution.ok && execution.error.code !== 'PROCEDURE_FAILED';
}

function told(execution: Execution): unknown {
  return execution.ok ? 'a result' : `${execution.error.code} ${execution.error.message}`;
}

/** What of an execution others see. */
function shown(execution: Execution): unknown {
  const texts = JSON.stringify(execution, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString() : value,
  );
  const { error, ...rest } = JSON.parse(texts) as { error?: { code: string } };
  return execution.ok
    ? rest
    : { ...rest, code: execution.error.code, said: execution.error.message };
}

describe('a call that is given what it will probably read', () => {
  test('does, sees and says the same as one that asks', async () => {
    let asking = await Sandbox.with(PROGRAM);
    let given = await Sandbox.with(PROGRAM);
    let fewer = 0;
    const property = fc.asyncProperty(
      ...([program, fc.constantFrom('p', 'r'), fc.boolean()] as const),
      async (args, name, isKnown) => {
        if (asking.vm.isSpent) asking = await Sandbox.with(PROGRAM);
        if (given.vm.isSpent) given = await Sandbox.with(PROGRAM);
        const mode = name === 'p' ? 'cp' : 'read';
        const store = new MemorySource(STORED);
        // However long this machine takes.
        const limits = { computeMsMax: 600_000 };
        const wish = { name, args, mode, limits } as const;
        // It has read the same before, or something else.
        if (isKnown) given.call({ ...wish, source: new AtHand(new MemorySource(STORED)) });
        if (given.vm.isSpent) given = await Sandbox.with(PROGRAM);
        const one = asking.call({ ...wish, source: store });
        const other = given.call({ ...wish, source: new AtHand(new MemorySource(STORED)) });
        if (isDoomed(one)) expect(told(other)).toEqual(told(one));
        else expect(shown(other)).toEqual(shown(one));
        if (one.ok && one.effects.reads.length > 1) fewer += 1;
      },
    );
    await fc.assert(property, { numRuns: 1000 });
    expect(fewer).toBeGreaterThan(30);
  });

  test('asks for nothing, when it reads what is at hand', async () => {
    const sandbox = await Sandbox.with(`return { p: { mode: 'cp', handler: (ctx, { id }) => {
      ctx.put('n/' + id, (ctx.get('n/' + id) ?? 0) + ctx.get('step'));
      return ctx.get('n/' + id);
    } } };`);
    const store = new MemorySource({ step: 2, 'n/7': 40 });
    let asked = 0;
    const source: Source = {
      get: (key) => store.get(key),
      peek: (key) => store.get(key),
      scan: (query) => store.scan(query),
      cell: () => null,
    };
    const watched: Source = {
      ...source,
      get: (key) => {
        asked += 1;
        return store.get(key);
      },
      peek: (key) => (asked === 0 ? undefined : store.get(key)),
    };
    sandbox.call({ args: { id: 'one' }, source: watched });
    expect(sandbox.vm.predict({ name: 'p', args: '{"id":"7"}' })).toEqual(['n/7', 'step']);
    const { ok } = sandbox.call({ args: { id: '7' }, source: watched });
    expect(ok).toBe(true);
  });

  test('is not given what is known of another call', async () => {
    const sandbox = await Sandbox.with(
      `return { p: { mode: 'cp', handler: (ctx, { key }) => ctx.get(key) } };`,
    );
    const before = new AtHand(new MemorySource({ a: 1 }));
    for (let i = 0; i < 3; i += 1) sandbox.call({ args: { key: 'a' }, source: before });
    const execution = sandbox.call({ args: { key: 'a' }, source: new MemorySource({ a: 2 }) });
    expect(execution).toMatchObject({ ok: true, result: '2' });
  });
});

describe('a forecast', () => {
  const reads = (...keys: string[]): Set<string> => new Set(keys);

  test('puts arguments where they were in the keys before', () => {
    const forecast = new Forecast();
    expect(forecast.predict({ from: 'ada' })).toEqual([]);
    forecast.learn({ from: 'ada', to: ['bob'], n: 17 }, reads('acc/ada', 'acc/bob/x', '17', 'all'));
    const found = forecast.predict({ from: 'eve', to: ['dan'], n: 3 });
    expect([...found].sort()).toEqual(['3', 'acc/dan/x', 'acc/eve', 'all']);
    // What is not there, or is no text, leads to no key.
    expect(forecast.predict({ from: {}, to: null })).toEqual(['all']);
    expect(forecast.predict(null)).toEqual(['all']);
    expect(forecast.predict({ ['__proto__']: 1 })).toEqual(['all']);
  });

  test('forgets what has led to nothing several times in a row', () => {
    const forecast = new Forecast();
    forecast.learn({ a: 'x' }, reads('k/x'));
    for (let i = 0; i < 7; i += 1) forecast.learn({ a: 'y' }, reads());
    expect(forecast.predict({ a: 'z' })).toEqual(['k/z']);
    forecast.learn({ a: 'y' }, reads('k/y'));
    for (let i = 0; i < 8; i += 1) forecast.learn({ a: 'y' }, reads());
    expect(forecast.predict({ a: 'z' })).toEqual([]);
  });

  test('keeps few, however many keys are read', () => {
    const forecast = new Forecast();
    forecast.learn({}, new Set(Array.from({ length: 1000 }, (_, i) => `k${i}`)));
    expect(forecast.predict({})).toHaveLength(16);
  });
});
