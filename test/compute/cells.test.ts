import { describe, expect, test } from 'vitest';
import { Cell } from '../../src/base/cell.js';
import type { CellChange, CellType } from '../../src/base/delta.js';
import { recordOf } from '../../src/compute/call-record.js';
import type { CallLimits, Execution } from '../../src/compute/execution.js';
import { effectsOf, failureOf, oneProcedure, parsed, Sandbox } from './calls.js';
import { MemorySource } from './memory-source.js';

/** Cells as procedures have them, in the real sandbox. */

const HERE = 'a'.repeat(16);
const OTHER = 'b'.repeat(16);

/** What `counter(key)` and the like give, as in `balsa/procedures`. */
const NAMES = `
  const of = (cell) => (key) => Object.freeze({ cell, key });
  const counter = of('counter'), escrow = of('escrow'), set = of('set'), map = of('map');
  const register = of('register'), multiValue = of('multi-value'), appendLog = of('log');`;

async function call(
  body: string,
  source: MemorySource = new MemorySource(),
  limits: Partial<CallLimits> = {},
): Promise<Execution> {
  const sandbox = await Sandbox.with(oneProcedure(body, 'ap', NAMES));
  return sandbox.call({ mode: 'ap', origin: HERE, source, limits });
}

/** A source with one cell, of changes that others have made. */
function withCell(key: string, ...changes: CellChange[]): MemorySource {
  const source = new MemorySource();
  const [first] = changes as [CellChange];
  const cell = Cell.empty(first.cell);
  changes.forEach((change, place) => {
    const stamp = { timeMs: 5, count: 0, origin: OTHER, call: `${OTHER}:1`, place };
    cell.apply(change, stamp, { origins: [HERE, OTHER] });
  });
  source.cells.set(key, cell.encode());
  return source;
}

const TAG = `${OTHER}:1:0`;

describe('what an ap procedure does with a cell', () => {
  test('counter', async () => {
    const source = withCell('n', { cell: 'counter', type: 'add', by: 40 });
    const execution = await call(
      `const n = ctx.cell(counter('n')); const seen = [n.value()];
       n.add(); n.add(-3); seen.push(n.value(), ctx.cell(counter('n')).value()); return seen;`,
      source,
    );

    expect(parsed(execution)).toEqual([40, 38, 38]);
    expect(effectsOf(execution)).toEqual({
      ...{ reads: [], ranges: [], writes: [], updates: [], events: [] },
      cells: [
        { key: 'n', change: { cell: 'counter', type: 'add', by: 1 } },
        { key: 'n', change: { cell: 'counter', type: 'add', by: -3 } },
      ],
    });
    expect(source.cellsRead).toEqual(['n']);
    expect(source.gets).toBe(0);
  });

  test('escrow counter: takes what it has the rights for', async () => {
    const source = withCell('seats', { cell: 'escrow', type: 'add', by: 11 });
    const execution = await call(
      `const s = ctx.cell(escrow('seats')); const seen = [s.value(), s.rights()];
       seen.push(s.take(7), s.value(), s.take(6), s.value(), s.rights());
       s.add(5); seen.push(s.value(), s.rights()); return seen;`,
      source,
    );

    expect(parsed(execution)).toEqual([11, 6, false, 11, true, 5, 0, 10, 0]);
    expect(changesOf(execution)).toEqual([
      { cell: 'escrow', type: 'take', by: 6 },
      { cell: 'escrow', type: 'add', by: 5 },
    ]);
  });

  test('set', async () => {
    const source = withCell('s', { cell: 'set', type: 'add', item: '"x"', observed: [] });
    const execution = await call(
      `const s = ctx.cell(set('s')); const seen = [s.has('x'), s.has('y')];
       s.add({ b: 1, a: 2 }); s.add('y'); s.remove('x'); s.remove('y'); s.remove('never'); s.add('x');
       seen.push(s.has({ a: 2, b: 1 }), s.values()); return seen;`,
      source,
    );

    expect(parsed(execution)).toEqual([true, false, true, ['x', { a: 2, b: 1 }]]);
    expect(changesOf(execution)).toEqual([
      { cell: 'set', type: 'add', item: '{"a":2,"b":1}', observed: [] },
      { cell: 'set', type: 'add', item: '"y"', observed: [] },
      { cell: 'set', type: 'remove', item: '"x"', observed: [TAG] },
      { cell: 'set', type: 'remove', item: '"y"', observed: ['~1'] },
      { cell: 'set', type: 'add', item: '"x"', observed: [] },
    ]);
  });

  test('map', async () => {
    const put: CellChange = { cell: 'map', type: 'put', field: 'f', value: '1', observed: [] };
    const execution = await call(
      `const m = ctx.cell(map('m')); const seen = [m.entries(), m.get('f'), m.get('toString')];
       m.put('f', [2]); m.put('g', null); m.remove('f'); m.put('h', 3);
       seen.push(m.entries(), m.get('f')); return seen;`,
      withCell('m', put),
    );

    expect(parsed(execution)).toEqual([{ f: 1 }, 1, null, { g: null, h: 3 }, null]);
    expect(changesOf(execution)).toEqual([
      { cell: 'map', type: 'put', field: 'f', value: '[2]', observed: [TAG] },
      { cell: 'map', type: 'put', field: 'g', value: 'null', observed: [] },
      { cell: 'map', type: 'remove', field: 'f', observed: ['~0'] },
      { cell: 'map', type: 'put', field: 'h', value: '3', observed: [] },
    ]);
  });

  test('register', async () => {
    const execution = await call(
      `const r = ctx.cell(register('r')); const seen = [ctx.cell(register('none')).value(), r.value()];
       r.set('b'); r.set('c'); return [...seen, r.value()];`,
      withCell('r', { cell: 'register', type: 'set', value: '"a"' }),
    );

    expect(parsed(execution)).toEqual([null, 'a', 'c']);
    expect(changesOf(execution)).toEqual([
      { cell: 'register', type: 'set', value: '"b"' },
      { cell: 'register', type: 'set', value: '"c"' },
    ]);
  });

  test('multi-value register', async () => {
    const set = (value: string): CellChange => ({
      ...{ cell: 'multi-value', type: 'set', value, observed: [] },
    });
    const execution = await call(
      `const r = ctx.cell(multiValue('v')); const seen = [r.values()];
       r.set('c'); seen.push(r.values()); r.set('d'); return [...seen, r.values()];`,
      withCell('v', set('"a"'), set('"b"')),
    );

    expect(parsed(execution)).toEqual([['a', 'b'], ['c'], ['d']]);
    expect(changesOf(execution)).toEqual([
      { cell: 'multi-value', type: 'set', value: '"c"', observed: [TAG, `${OTHER}:1:1`] },
      { cell: 'multi-value', type: 'set', value: '"d"', observed: ['~0'] },
    ]);
  });

  test('append log', async () => {
    const execution = await call(
      `const l = ctx.cell(appendLog('l')); l.append({ n: 1 }); l.append('two'); return l.entries();`,
      withCell('l', { cell: 'log', type: 'append', value: '0' }),
    );

    expect(parsed(execution)).toEqual([0, { n: 1 }, 'two']);
    expect(changesOf(execution)).toEqual([
      { cell: 'log', type: 'append', value: '{"n":1}' },
      { cell: 'log', type: 'append', value: '"two"' },
    ]);
  });

  test('what it is given belongs to the call: changing it changes no cell', async () => {
    const body = `const s = ctx.cell(set('s')); s.add([1]); s.values()[0].push(2); s.values().pop();
      return s.values();`;
    expect(parsed(await call(body))).toEqual([[1]]);
  });

  test('it reads ordinary keys, and calls others of its file, which see its changes', async () => {
    const code = `${NAMES} return {
      look: { mode: 'read', handler: (ctx) => [ctx.get('k'), ctx.cell(counter('n')).value()] },
      more: { mode: 'ap', handler: (ctx, by) => ctx.cell(counter('n')).add(by) },
      p: { mode: 'ap', handler: async (ctx) => { ctx.cell(counter('n')).add(1); await ctx.call('more', 2); return ctx.call('look'); } },
    };`;
    const source = new MemorySource({ k: 'v' });
    const execution = (await Sandbox.with(code)).call({ mode: 'ap', source });

    expect(parsed(execution)).toEqual(['v', 3]);
    expect(changesOf(execution)).toHaveLength(2);
  });
});

function changesOf(execution: Execution): unknown {
  if (!execution.ok) throw execution.error;
  return execution.effects.cells.map(({ change }) => change);
}

describe('in cp and read procedures', () => {
  const body = `return [ctx.cell(counter('n')).value(), ctx.cell(set('none')).values()];`;
  const merged = { '_cells/n': { type: 'counter', value: '12' } };

  test.each(['cp', 'read'] as const)('%s: the merged cell is read, as any key', async (mode) => {
    const sandbox = await Sandbox.with(oneProcedure(body, mode, NAMES));
    const source = new MemorySource(merged);
    source.cells.set('n', Buffer.from('{"type":"counter","value":"99"}'));
    const execution = sandbox.call({ mode, source });

    expect(parsed(execution)).toEqual([12, []]);
    expect(effectsOf(execution)).toMatchObject({
      cells: [],
      reads: [
        { key: '_cells/n', modRevision: 1 },
        { key: '_cells/none', modRevision: 0 },
      ],
    });
    expect(source.cellsRead).toEqual([]);
  });

  test.each([
    ['cp', `ctx.cell(counter('n')).add(1);`, 'cells are written by ap procedures'],
    ['read', `ctx.cell(set('s')).add(1);`, 'cells are written by ap procedures'],
    ['cp', `ctx.cell(escrow('e')).take(1);`, 'cells are written by ap procedures'],
    ['cp', `ctx.cell(set('s')).remove(1);`, 'cells are written by ap procedures'],
    ['ap', `ctx.put('k', 1);`, 'an ap procedure writes cells only'],
    ['ap', `ctx.delete('k');`, 'an ap procedure writes cells only'],
    ['ap', `ctx.add('k', 1);`, 'an ap procedure writes cells only'],
    ['ap', `ctx.setIfAbsent('k', 1);`, 'an ap procedure writes cells only'],
    ['ap', `ctx.emit('e');`, 'an ap procedure writes cells only'],
    ['ap', `ctx.schedule({ inMs: 1 }, 'p', null);`, 'an ap procedure writes cells only'],
  ] as const)('%s: not %s', async (mode, code, told) => {
    const sandbox = await Sandbox.with(oneProcedure(`try { ${code} } catch {}`, mode, NAMES));
    expect(failureOf(sandbox.call({ mode }))).toBe(`PROCEDURE_READ_ONLY ${told}`);
  });

  test('nobody puts where cells are', async () => {
    for (const code of [
      `ctx.put('_cells/n', 1)`,
      `ctx.delete('_cells/n')`,
      `ctx.add('_cells/n', 1)`,
    ]) {
      const sandbox = await Sandbox.with(oneProcedure(code));
      expect(failureOf(sandbox.call())).toMatch(/_cells\/n: .* written by ap procedures/);
    }
  });
});

describe('is refused', () => {
  const counter: CellChange = { cell: 'counter', type: 'add', by: 1 };

  test.each([
    [`ctx.cell(set('n')).values()`, /^INVALID_ARGUMENT n is a cell of type counter, not set$/],
    [`ctx.cell(set('n')).add(1)`, /^INVALID_ARGUMENT n is a cell of type counter, not set$/],
    [`ctx.cell(counter('n')).add(0.5)`, /^INVALID_ARGUMENT .*whole number/],
    [`ctx.cell(counter('n')).add(NaN)`, /^INVALID_ARGUMENT .*whole number/],
    [`ctx.cell(counter('n')).add('1')`, /^INVALID_ARGUMENT .*whole number/],
    [`ctx.cell(counter('n')).add(2 ** 53)`, /^INVALID_ARGUMENT .*whole number/],
    [`ctx.cell(escrow('e')).add(0)`, /^INVALID_ARGUMENT .*1 or more/],
    [`ctx.cell(escrow('e')).take(-1)`, /^INVALID_ARGUMENT .*1 or more/],
    [`ctx.cell(counter('')).value()`, /^INVALID_ARGUMENT .*0 bytes/],
    [`ctx.cell(counter('a\\0b')).value()`, /^INVALID_ARGUMENT .*character 0/],
    [`ctx.cell(counter('\\ud800')).value()`, /^INVALID_ARGUMENT .*half/],
    [`ctx.cell(counter('x'.repeat(70000))).value()`, /^INVALID_ARGUMENT .*70000 bytes/],
    [`ctx.cell(map('m')).put('\\ud800', 1)`, /^INVALID_ARGUMENT .*half/],
    [`ctx.cell(map('m')).put(7, 1)`, /^INVALID_ARGUMENT .*field must be a string/],
    [`ctx.cell(map('m')).put('a', undefined)`, /^PROCEDURE_FAILED .*undefined is no JSON/],
    [`ctx.cell(set('s')).add(() => 1)`, /^PROCEDURE_FAILED .*function is no JSON/],
    [`ctx.cell({ cell: 'toString', key: 'a' })`, /^PROCEDURE_FAILED .*ctx.cell takes/],
    [`ctx.cell({ cell: '__proto__', key: 'a' })`, /^PROCEDURE_FAILED .*ctx.cell takes/],
    [`ctx.cell(null)`, /^PROCEDURE_FAILED .*ctx.cell takes/],
    [`ctx.cell({ cell: 'set', key: 7 })`, /^PROCEDURE_FAILED .*key must be a string/],
    [
      `let deep = 1; for (let i = 0; i < 200; i += 1) deep = [deep]; ctx.cell(set('s')).add(deep)`,
      /^INVALID_ARGUMENT .*nested/,
    ],
  ])('%s', async (code, told) => {
    const execution = await call(`${code};`, withCell('n', counter));
    expect(failureOf(execution)).toMatch(told);
  });

  test('what lies there and is no cell', async () => {
    const source = new MemorySource();
    source.cells.set('n', Buffer.from('7'));
    expect(failureOf(await call(`ctx.cell(counter('n')).value();`, source))).toBe(
      'VALUE_NOT_DECODABLE "n" is no cell',
    );
  });

  test.each<[string, Partial<CallLimits>, string]>([
    ['readsMax', { readsMax: 2 }, `for (const k of 'abc') ctx.cell(counter(k)).value();`],
    ['readBytesMax', { readBytesMax: 20 }, `ctx.cell(counter('n')).value();`],
    ['writesMax', { writesMax: 2 }, `for (const k of 'abc') ctx.cell(counter(k)).add(1);`],
    ['writeBytesMax', { writeBytesMax: 50 }, `ctx.cell(register('r')).set('x'.repeat(40));`],
  ])('beyond %s', async (limit, limits, code) => {
    const execution = await call(code, withCell('n', counter), limits);
    expect(failureOf(execution)).toMatch(new RegExp(`^PROCEDURE_LIMIT .*${limit}`));
  });
});

describe('a full cell', () => {
  const limits = { cellBytesMax: 400 };
  const items: CellChange[] = Array.from({ length: 20 }, (_, i) => ({
    ...{ cell: 'set', type: 'add', item: String(i), observed: [] },
  }));

  test('takes nothing more', async () => {
    const execution = await call(`ctx.cell(set('s')).add('x');`, withCell('s', ...items), limits);
    expect(failureOf(execution)).toMatch(/^CELL_FULL .*cellBytesMax/);
    const caught = await call(
      `try { ctx.cell(set('s')).add('x'); } catch {} return 1;`,
      ...[withCell('s', ...items), limits],
    );
    expect(failureOf(caught)).toMatch(/^CELL_FULL/);
  });

  test('can be read and made smaller', async () => {
    const body = `const s = ctx.cell(set('s')); for (const v of s.values()) s.remove(v);
      s.add('x'); return s.values();`;
    expect(parsed(await call(body, withCell('s', ...items), limits))).toEqual(['x']);
  });

  test('a value that alone is too large is refused at once', async () => {
    expect(
      failureOf(await call(`ctx.cell(register('r')).set('x'.repeat(500));`, undefined, limits)),
    ).toMatch(/^CELL_FULL/);
    const huge = `ctx.cell(set('s')).has(Array.from({ length: 1000000 }, () => []));`;
    expect(failureOf(await call(huge))).toMatch(/^(CELL_FULL|PROCEDURE_LIMIT)/);
    const asked = `ctx.cell(set('s')).has('x'.repeat(500));`;
    expect(failureOf(await call(asked, undefined, limits))).toMatch(/^CELL_FULL/);
    // A register gets no larger with another value.
    const again = `const r = ctx.cell(register('r')); for (let i = 0; i < 50; i += 1) r.set('x'.repeat(200));`;
    expect(failureOf(await call(again, undefined, limits))).toBe('it gave null');
  });
});

describe('hostile names', () => {
  test.each(['__proto__', 'constructor', 'toString', '', '0', 'a"b\\', '\0', '\u2028'])(
    '%j is an item and a field as any other',
    async (name) => {
      const text = JSON.stringify(name);
      const execution = await call(
        `const s = ctx.cell(set('s')), m = ctx.cell(map('m')), n = ${text};
         const before = [s.has(n), m.get(n), Object.keys(m.entries()).length];
         s.add(n); m.put(n, { [n]: 1 });
         const found = m.entries();
         return [before, s.values()[0] === n, Object.keys(found)[0] === n, Object.keys(found).length,
           JSON.stringify(m.get(n)) === JSON.stringify(found[n]), Object.getPrototypeOf({}).x === undefined];`,
      );
      expect(parsed(execution)).toEqual([[false, null, 0], true, true, 1, true, true]);
    },
  );

  test('a name that is not the same when it is looked at twice', async () => {
    const body = `let n = 0;
      const sly = { get cell() { n += 1; return n === 1 ? 'counter' : 'set'; }, get key() { return 'k'; } };
      const handle = ctx.cell(sly); handle.add(1); return [n, handle.value()];`;
    expect(parsed(await call(body))).toEqual([1, 1]);
  });

  test('toJSON decides what an item is, once', async () => {
    const body = `let n = 0; const sly = { toJSON: () => (n += 1) }; const s = ctx.cell(set('s'));
      s.add(sly); return s.values();`;
    expect(parsed(await call(body))).toEqual([1]);
  });

  test('handles and what is behind them stay as they are', async () => {
    const sandbox = await Sandbox.with(
      oneProcedure(
        `try { ctx.cell(counter('n')).add = () => {}; } catch {}
         try { ctx.cell = () => 1; } catch {}
         const { add, value } = ctx.cell(counter('n')); add(2); return value();`,
        ...(['ap', NAMES] as const),
      ),
    );
    for (let i = 0; i < 2; i += 1) expect(parsed(sandbox.call({ mode: 'ap' }))).toBe(2);
  });
});

test('a call that has changed cells is none for the log of transactions', async () => {
  const changing = await call(`ctx.cell(counter('n')).add();`);
  const identity = { key: Buffer.from('k'), isNamed: false, bornIndex: 0, procedure: 'p' };
  const record = (execution: Execution) =>
    recordOf({ ...identity, fingerprint: Buffer.alloc(8) }, 'hash', execution, []);
  expect(() => record(changing)).toThrow(/its changes are merged/);
  expect(record(await call('return 1;'))).not.toHaveProperty('cells');
  expect(record(await call('throw new Error("no");'))).not.toHaveProperty('cells');
});

test('all types have a handle', async () => {
  const types: readonly CellType[] = ['counter', 'escrow', 'set', 'map', 'register', 'log'];
  for (const type of types) {
    const body = `return Object.keys(ctx.cell({ cell: '${type}', key: 'k' })).length > 1;`;
    expect(parsed(await call(body))).toBe(true);
  }
});
