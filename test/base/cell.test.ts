import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Cell, checkCellWrite } from '../../src/base/cell.js';
import { CELL_TYPES, type CellChange, type CellType } from '../../src/base/delta.js';
import { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import { ORIGINS, playOut, shown, stampOf, step } from './cell-world.js';

const [A] = ORIGINS as [string];

const ONE_OF_EACH: Readonly<Record<CellType, CellChange>> = {
  counter: { cell: 'counter', type: 'add', by: 3 },
  escrow: { cell: 'escrow', type: 'add', by: 3 },
  set: { cell: 'set', type: 'add', item: '{"b":1,"a":"ü"}', observed: [] },
  map: { cell: 'map', type: 'put', field: '__proto__', value: '[1]', observed: [] },
  register: { cell: 'register', type: 'set', value: '"x"' },
  'multi-value': { cell: 'multi-value', type: 'set', value: 'null', observed: [] },
  log: { cell: 'log', type: 'append', value: '{"n": 1.0}' },
};

function cellWith(change: CellChange): Cell {
  const cell = Cell.empty(change.cell);
  expect(cell.apply(change, stampOf(), null)).toBe(true);
  return cell;
}

describe('the bytes of a cell', () => {
  const tag = `${A}:1:0`;

  test.each([
    ['counter', { type: 'counter', value: '3' }],
    ['escrow', { type: 'escrow', value: '3', rights: {}, unmerged: '3' }],
    ['set', { type: 'set', items: [{ item: { a: 'ü', b: 1 }, tags: [tag] }] }],
    ['register', { type: 'register', last: { value: 'x', at: [1, 0], tag } }],
    ['multi-value', { type: 'multi-value', values: [{ value: null, at: [1, 0], tag }] }],
    ['log', { type: 'log', entries: [{ value: { n: 1 }, at: [1, 0], tag }] }],
  ] as const)('%s: can be read by people', (type, json) => {
    expect(cellWith(ONE_OF_EACH[type]).encode().toString()).toBe(JSON.stringify(json));
  });

  test('map: a field of any name', () => {
    const text = `{"type":"map","fields":{"__proto__":[{"value":[1],"at":[1,0],"tag":"${tag}"}]}}`;
    const cell = cellWith(ONE_OF_EACH.map);
    expect(cell.encode().toString()).toBe(text);
    expect(cell.view()).toBe('{"__proto__":[1]}');
    expect(Cell.decode(cell.encode())?.tagsOf('__proto__')).toEqual([tag]);
    expect(cell.tagsOf('constructor')).toEqual([]);
  });

  test.each(CELL_TYPES)('%s: an empty one has a form, too', (type) => {
    const empty = Cell.empty(type);
    expect(Cell.decode(empty.encode())?.encode()).toEqual(empty.encode());
    const views = { counter: 0, escrow: 0, map: {}, register: null };
    expect(shown(empty)).toEqual(type in views ? views[type as keyof typeof views] : []);
  });

  test('garbage is no cell', () => {
    const texts = [
      ...['', 'null', '1', '[]', '{}', '{"type":"counter"}', '{"type":"constructor"}'],
      ...['{"type":"counter","value":3}', '{"type":"counter","value":"1e3"}'],
      ...['{"type":"counter","value":"03"}', '{"type":"counter","value":"-0"}'],
      '{"type":"escrow","value":"2","rights":{"a":"1"}}',
      '{"type":"escrow","value":"-1","rights":{"a":"-1"}}',
      '{"type":"escrow","value":"0","rights":{"a":"0"}}',
      ...['{"type":"set","items":{}}', '{"type":"set","items":[{"item":1,"tags":["x"]}]}'],
      '{"type":"set","items":[{"tags":["~1"]}]}',
      '{"type":"map","fields":{"a":[{"value":1,"at":[1,-1],"tag":"~1"}]}}',
      ...['{"type":"register"}', '{"type":"register","last":{"value":1,"at":[1],"tag":"~1"}}'],
      '{"type":"log","entries":[{"value":1,"at":[1,0.5],"tag":"~1"}]}',
      `{"type":"log","entries":[{"value":${'['.repeat(200)}${']'.repeat(200)},"at":[1,0],"tag":"~1"}]}`,
      '['.repeat(100_000),
    ];
    for (const text of texts) expect([text, Cell.decode(Buffer.from(text))]).toEqual([text, null]);
    expect(Cell.decode(Buffer.from([0xff, 0xfe]))).toBeNull();
  });

  test('and never throws', () => {
    const json = fc.json().map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.oneof(json, fc.uint8Array()), (bytes) => {
        Cell.decode(bytes);
      }),
    );
    // Something of a cell is replaced.
    const history = fc.array(step, { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(
        ...[fc.constantFrom(...CELL_TYPES), history, fc.nat(), fc.json()],
        (type, steps, at, piece) => {
          const text = playOut(type, steps).sites[0]?.cell.encode().toString() ?? '';
          const from = at % text.length;
          const broken = text.slice(0, from) + piece + text.slice(from + piece.length);
          const cell = Cell.decode(Buffer.from(broken));
          if (cell !== null) expect(Cell.decode(cell.encode())?.encode()).toEqual(cell.encode());
        },
      ),
      { numRuns: 500 },
    );
  });
});

test.each(CELL_TYPES)('%s: a change of another type of cell has no effect', (type) => {
  for (const other of CELL_TYPES) {
    const cell = cellWith(ONE_OF_EACH[type]);
    const before = cell.encode();
    const isSame = other === type;
    expect(cell.apply(ONE_OF_EACH[other], stampOf({ call: 'another' }), null)).toBe(isSame);
    if (!isSame) expect(cell.encode()).toEqual(before);
  }
});

test('equal items are one item, however they are written', () => {
  const cell = Cell.empty('set');
  const forms = ['{"a":1,"b":[2,{"d":3,"c":4}]}', ' { "b" : [2, {"c":4,"d":3}], "a" : 1.0 } '];
  forms.forEach((item, at) => {
    cell.apply({ cell: 'set', type: 'add', item, observed: [] }, stampOf({ place: at }), null);
  });
  expect(cell.view()).toBe('[{"a":1,"b":[2,{"c":4,"d":3}]}]');
  const [first, second] = forms as [string, string];
  expect(cell.tagsOf(first)).toEqual([`${A}:1:0`, `${A}:1:1`]);
  expect(cell.tagsOf(second)).toEqual(cell.tagsOf(first));
});

test('what is no JSON has no effect', () => {
  const deep = `${'['.repeat(101)}${']'.repeat(101)}`;
  for (const value of ['', '{', 'undefined', deep]) {
    const register = Cell.empty('register');
    expect(register.apply({ cell: 'register', type: 'set', value }, stampOf(), null)).toBe(false);
    const set = Cell.empty('set');
    const add = { cell: 'set', type: 'add', item: value, observed: [] } as const;
    expect(set.apply(add, stampOf(), null)).toBe(false);
    expect(set.encode()).toEqual(Cell.empty('set').encode());
  }
});

test('what is removed gives its bytes back', () => {
  const cell = Cell.empty('set');
  const before = cell.bytes;
  cell.apply({ cell: 'set', type: 'add', item: '"abc"', observed: [] }, stampOf(), null);
  expect(cell.bytes).toBeGreaterThan(before + 5);
  const observed = cell.tagsOf('"abc"');
  cell.apply({ cell: 'set', type: 'remove', item: '"abc"', observed }, stampOf(), null);
  expect(cell.bytes).toBe(before);
});

describe('what may be written', () => {
  const keyMax = LIMITS.keyBytesMax - 7;

  test.each(CELL_TYPES)('%s', (type) => {
    checkCellWrite({ key: 'x', change: ONE_OF_EACH[type] });
    checkCellWrite({ key: 'x'.repeat(keyMax), change: ONE_OF_EACH[type] });
    for (const key of ['', 'x'.repeat(keyMax + 1), 'a\0b', '\ud800', 'ü'.repeat(keyMax / 2 + 1)]) {
      expect(() => checkCellWrite({ key, change: ONE_OF_EACH[type] })).toThrow(BalsaError);
    }
  });

  test.each<[string, object]>([
    ['a number that is not whole', { cell: 'counter', type: 'add', by: 0.5 }],
    ['one too large', { cell: 'counter', type: 'add', by: 2 ** 53 }],
    ['no number', { cell: 'counter', type: 'add', by: Number.NaN }],
    ['the negative zero', { cell: 'counter', type: 'add', by: -0 }],
    ['nothing', { cell: 'escrow', type: 'add', by: 0 }],
    ['less than nothing', { cell: 'escrow', type: 'take', by: -1 }],
    ['nobody', { cell: 'escrow', type: 'give', by: 1, to: 'b' }],
    ['no JSON', { cell: 'set', type: 'add', item: '{', observed: [] }],
    ['half a character', { cell: 'set', type: 'add', item: '"\ud800"', observed: [] }],
    ['a tag that is none', { cell: 'set', type: 'add', item: '1', observed: ['x'] }],
    ['a tag of nobody', { cell: 'set', type: 'add', item: '1', observed: ['b:1:1'] }],
    [
      'very many tags',
      { cell: 'set', type: 'add', item: '1', observed: new Array(70_000).fill('~1') },
    ],
    ['half a field', { cell: 'map', type: 'remove', field: '\udfff', observed: [] }],
    ['a huge field', { cell: 'map', type: 'remove', field: 'x'.repeat(5_000_000), observed: [] }],
    ['a huge value', { cell: 'register', type: 'set', value: `"${'x'.repeat(5_000_000)}"` }],
    ['a deep value', { cell: 'log', type: 'append', value: '['.repeat(300) + ']'.repeat(300) }],
    ['a change of another type', { cell: 'counter', type: 'set', by: 1 }],
    ['an unknown type', { cell: 'toString', type: 'add', by: 1 }],
  ])('not: %s', (_what, change) => {
    expect(() => checkCellWrite({ key: 'x', change: change as CellChange })).toThrow(BalsaError);
  });

  test('all that is allowed can be applied', () => {
    const tags = [`${A}:9007199254740991:4294967295`, '~0'];
    checkCellWrite({ key: 'x', change: { ...ONE_OF_EACH.set, observed: tags } as CellChange });
    checkCellWrite({ key: 'x', change: { cell: 'counter', type: 'add', by: -(2 ** 53) + 1 } });
    checkCellWrite({ key: 'x', change: { cell: 'escrow', type: 'give', by: 1, to: A } });
  });
});
