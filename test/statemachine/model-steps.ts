import fc from 'fast-check';
import type {
  Compare,
  ReadOperation,
  TxnOperation,
  TxnStep,
  WriteOperation,
} from '../../src/base/operation.js';
import type { SystemOperation } from '../../src/statemachine/types.js';

/**
 * Random histories. The alphabets are small, so that things meet: keys, leases, sessions, namespaces.
 *
 * Numbers that only mean something when the history is at that point are written relative to it and made
 * absolute by `resolve`: a negative revision -1 is the latest, -2 the one before; {@link OWN} plus or minus
 * a little is what the key itself has at that time.
 */
export const OWN = -1000;
/** The leases that are due, in a list of leases to expire. */
export const ALL_DUE = -1;

export type Step =
  | {
      readonly type: 'command';
      readonly waitMs: number;
      readonly sends: readonly Send[];
      readonly system: readonly SystemOperation[];
      /** Written as this version when that can hold it. */
      readonly version: number;
    }
  | { readonly type: 'noop' }
  | { readonly type: 'configuration'; readonly text: string }
  /** The disk of one replica comes back as it was up to so many entries ago. */
  | { readonly type: 'restart'; readonly behind: number }
  /** Another replica starts anew from a snapshot of the first, so many entries old. */
  | { readonly type: 'snapshot'; readonly behind: number }
  /** Everything that can be read is compared with the model. */
  | { readonly type: 'check' };

/** One batch as a client sends it. */
export interface Send {
  readonly client: number;
  readonly what: 'next' | 'retry' | 'gap';
  /** For a retry: how many batches back. */
  readonly back: number;
  readonly acknowledges: boolean;
  readonly operations: readonly WriteOperation[];
}

export const KEYS = ['a', 'aa', 'b', 'b\0', 'c', 'n/', 'n/1', 'n/2', 'q/\xff', '\xff'];
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');
const key = fc.constantFrom(...KEYS, 'a', 'b').map(bytesOf);
const bound = fc.constantFrom('', ...KEYS, 'b\0\0', 'd', 'n', 'n0', 'zz').map(bytesOf);
/** The longest one is not kept beside the record of its key. */
const LONG = 'longer value '.repeat(25);
const value = fc.constantFrom('', 'v', 'w', 'ww', 'long value', LONG).map(bytesOf);
const leaseId = fc.constantFrom(1, 1, 1, 1, 2, 2, 3, 4);
const relative = fc.oneof(fc.integer({ min: -9, max: -1 }), fc.constantFrom(1, 2, 5, 500));

/** `from` before `to`. */
const range: fc.Arbitrary<{ from: Buffer; to: Buffer | null }> = fc.oneof(
  { weight: 1, arbitrary: bound.map((from) => ({ from, to: null })) },
  {
    weight: 3,
    arbitrary: fc.tuple(bound, bound).map((pair) => {
      const [from, to] = pair.sort(Buffer.compare);
      return { from, to: Buffer.compare(from, to) === 0 ? null : to };
    }),
  },
);
const place: fc.Arbitrary<{ from: Buffer; to?: Buffer | null }> = fc.oneof(
  key.map((from) => ({ from })),
  range,
);

const plainPut = fc.record({ type: fc.constant('put' as const), key, value });
const put = fc.record(
  {
    type: fc.constant('put' as const),
    key,
    value: fc.oneof({ weight: 4, arbitrary: value }, { weight: 1, arbitrary: fc.constant(null) }),
    lease: fc.oneof(
      { weight: 3, arbitrary: leaseId },
      { weight: 1, arbitrary: fc.constant('keep' as const) },
      { weight: 1, arbitrary: fc.constant(0) },
    ),
    returnPrevious: fc.boolean(),
  },
  { requiredKeys: ['type', 'key', 'value'] },
);
const remove = fc.record(
  { type: fc.constant('delete' as const), key, returnPrevious: fc.constant(true) },
  { requiredKeys: ['type', 'key'] },
);
const removeRange = fc
  .record({ place: range, returnPrevious: fc.boolean() })
  .map(({ place: { from, to }, returnPrevious }) => ({
    type: 'delete-range' as const,
    from,
    to,
    returnPrevious,
  }));

const read: fc.Arbitrary<ReadOperation> = fc
  .record({
    place,
    filter: fc.record(
      {
        reverse: fc.boolean(),
        limit: fc.nat({ max: 3 }),
        keysOnly: fc.boolean(),
        countOnly: fc.constantFrom(false, false, true),
        modRevisionMin: relative,
        modRevisionMax: relative,
        createRevisionMin: relative,
        createRevisionMax: relative,
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ place: where, filter }) => ({ type: 'read' as const, ...where, ...filter }));

const operator = fc.constantFrom('=' as const, '=' as const, '!=' as const, '<' as const, '>');
const compare: fc.Arbitrary<Compare> = fc
  .record({
    place,
    operator,
    what: fc.oneof(
      fc.record({ target: fc.constant('value' as const), value }),
      fc.record({
        target: fc.constantFrom('createRevision' as const, 'modRevision' as const),
        value: fc.oneof(relative, fc.integer({ min: OWN - 1, max: OWN + 1 }), fc.constant(0)),
      }),
      fc.record({
        target: fc.constantFrom('version' as const, 'lease' as const, 'count' as const),
        value: fc.oneof(fc.nat({ max: 4 }), fc.integer({ min: OWN - 1, max: OWN + 1 })),
      }),
    ),
  })
  .map(({ place: where, operator: how, what }) => ({ ...where, operator: how, ...what }));

const { txn } = fc.letrec<{ txn: TxnOperation; step: TxnStep }>((tie) => ({
  step: fc.oneof(
    { depthSize: 'small', maxDepth: 3 },
    { weight: 5, arbitrary: fc.oneof(plainPut, put) },
    { weight: 2, arbitrary: remove },
    { weight: 2, arbitrary: removeRange },
    { weight: 3, arbitrary: read },
    { weight: 2, arbitrary: tie('txn') },
  ),
  txn: fc.record({
    type: fc.constant('txn' as const),
    compares: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie('step'), { maxLength: 4 }),
    failure: fc.array(tie('step'), { maxLength: 3 }),
  }),
}));

const leaseOperation: fc.Arbitrary<WriteOperation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('lease-grant' as const),
      lease: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: leaseId }),
      ttlMs: fc.constantFrom(5, 20, 60, 1000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('lease-keep-alive' as const), lease: leaseId }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('lease-revoke' as const), lease: leaseId }),
  },
);

const NAMESPACES: readonly (readonly [name: string, prefix: string])[] = [
  ['n', 'n/'],
  ['n', 'n/'],
  ['q', 'q/'],
  ['o', 'b'],
  ['o', 'a'],
  ['q', 'n/1'],
  ['n', 'b'],
];

const administration: fc.Arbitrary<WriteOperation> = fc.oneof(
  fc
    .record({
      place: fc.constantFrom(...NAMESPACES),
      quotaBytes: fc.constantFrom(0, 8, 8, 14, 20),
    })
    .map(({ place: [name, prefix], quotaBytes }) => ({
      type: 'namespace-set' as const,
      name,
      prefix: bytesOf(prefix),
      quotaBytes,
    })),
  fc.record({
    type: fc.constant('namespace-remove' as const),
    name: fc.constantFrom('n', 'q', 'o', 'none'),
  }),
  fc.record({
    type: fc.constant('settings' as const),
    change: fc.record(
      {
        historyMs: fc.constantFrom(0, 0, 3, 50),
        historyRevisions: fc.constantFrom(0, 0, 2, 5),
        spaceQuotaBytes: fc.constantFrom(0, 0, 0, 30, 60),
      },
      { requiredKeys: [] },
    ),
  }),
);

const compact = fc.record({ type: fc.constant('compact' as const), revision: relative });

const operation: fc.Arbitrary<WriteOperation> = fc.oneof(
  { weight: 6, arbitrary: plainPut },
  { weight: 5, arbitrary: put },
  { weight: 3, arbitrary: remove },
  { weight: 1, arbitrary: removeRange },
  { weight: 5, arbitrary: txn },
  { weight: 5, arbitrary: leaseOperation },
  { weight: 2, arbitrary: compact },
  { weight: 3, arbitrary: administration },
);

/** Few keys, written over and over, deleted and made again. */
const narrow: fc.Arbitrary<WriteOperation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      key: fc.constantFrom('a', 'a', 'b').map(bytesOf),
      value,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('delete' as const),
      key: fc.constantFrom('a', 'b').map(bytesOf),
    }),
  },
);

/** Many keys, of which transactions read the first ones, or the last, as of a queue. */
const queue: fc.Arbitrary<WriteOperation> = fc.oneof(
  { weight: 8, arbitrary: plainPut },
  { weight: 2, arbitrary: remove },
  {
    weight: 6,
    arbitrary: fc
      .record({
        ends: fc.record({ limit: fc.integer({ min: 1, max: 2 }), reverse: fc.boolean() }),
        filter: fc.record(
          { modRevisionMin: relative, keysOnly: fc.boolean() },
          { requiredKeys: [] },
        ),
        where: fc.oneof(fc.constant({ from: bytesOf(''), to: null }), range),
        before: fc.array(fc.oneof(plainPut, remove, removeRange), { maxLength: 2 }),
      })
      .map(({ ends, filter, where, before }) => ({
        type: 'txn' as const,
        compares: [],
        success: [...before, { type: 'read' as const, ...where, ...ends, ...filter }],
        failure: [],
      })),
  },
);

/** Many keys on few leases. */
const leasing: fc.Arbitrary<WriteOperation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      key: fc.constantFrom('a', 'aa', 'b', 'c').map(bytesOf),
      value,
      lease: fc.constantFrom(1, 1, 2),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'lease-grant', lease: 1, ttlMs: 5 } as const) },
  { weight: 2, arbitrary: leaseOperation },
  { weight: 1, arbitrary: removeRange },
  { weight: 1, arbitrary: remove },
);

const system: fc.Arbitrary<SystemOperation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('sweep' as const), records: slice() }) },
  { weight: 1, arbitrary: compact },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('expire' as const),
      leases: fc.oneof(fc.constant([ALL_DUE]), fc.array(leaseId, { maxLength: 3 })),
    }),
  },
);

function slice(): fc.Arbitrary<number> {
  return fc.constantFrom(1, 1, 2, 3, 7, 1000);
}

const NEXT = ['next', 'next', 'next', 'next'] as const;

function commands(what: fc.Arbitrary<WriteOperation>, systems: number): fc.Arbitrary<Step> {
  const send: fc.Arbitrary<Send> = fc.record({
    client: fc.constantFrom(0, 0, 0, 0, 1, 1, 2, 3, 4),
    what: fc.constantFrom(...NEXT, ...NEXT, 'retry', 'retry', 'gap'),
    back: fc.nat({ max: 4 }),
    acknowledges: fc.boolean(),
    operations: fc.array(what, { minLength: 1, maxLength: 4 }),
  });
  return fc.record({
    type: fc.constant('command' as const),
    waitMs: fc.oneof(
      { weight: 6, arbitrary: fc.nat({ max: 6 }) },
      { weight: 2, arbitrary: fc.integer({ min: -20, max: 60 }) },
    ),
    sends: fc.array(send, { maxLength: 3 }),
    system: fc.array(system, { maxLength: systems }),
    version: fc.constantFrom(10, 10, 10, 3, 2, 1),
  });
}

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: commands(operation, 2) },
  { weight: 4, arbitrary: commands(narrow, 2) },
  { weight: 4, arbitrary: commands(leasing, 2) },
  { weight: 4, arbitrary: commands(queue, 1) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('noop' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('configuration' as const), text: fc.string() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('restart' as const), behind: fc.nat({ max: 5 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('snapshot' as const), behind: fc.nat({ max: 5 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('check' as const) }) },
);

/** Long chains of few keys under compaction in the smallest slices. */
const chainStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: commands(narrow, 3) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('restart' as const), behind: fc.nat({ max: 5 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('check' as const) }) },
);

export const history = fc.array(anyStep, { maxLength: 60, size: 'max' });
export const chains = fc.array(chainStep, { maxLength: 60, size: 'max' });
/** For disks on which each step takes its time. */
export const short = fc.array(anyStep, { maxLength: 25, size: 'max' });
