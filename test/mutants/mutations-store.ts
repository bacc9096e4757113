import type { Mutation } from './mutation.js';

const MODEL = ['test/statemachine/model.test.ts'];
const OURS = 'a plausible slip in our own code';

/** What the log means: keys with their history, transactions, leases, compaction, namespaces. */
export const STORE_MUTATIONS: readonly Mutation[] = [
  {
    name: 'skip-pointer-past-the-revision',
    bug: 'A read at a revision follows a skip pointer to the write of just that revision, and gives the one before.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/key-chain.ts',
        find: 'newer = skip.revision > revision ? skip : previous;',
        replace: 'newer = skip.revision >= revision ? skip : previous;',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'deletion-at-the-compacted-revision-swept',
    bug: 'A watch that begins at the compacted revision is not told of the deletion there.',
    history: 'etcd#18089, etcd#19179',
    edits: [
      {
        file: 'src/statemachine/compaction.ts',
        find: "type !== 'tombstone' || position.revision >= this.#compactedRevision",
        replace: "type !== 'tombstone' || position.revision > this.#compactedRevision",
      },
    ],
    rules: [...MODEL, 'test/statemachine/compaction.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'old-compacted-revision-not-swept-again',
    bug: 'A deletion at a revision that was once the compacted one stays for ever.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/compaction.ts',
        find: 'if (comparePositions(this.#cursor, again) > 0) this.#cursor = again;',
        replace: 'if (comparePositions(this.#cursor, again) < 0) this.#cursor = again;',
      },
    ],
    rules: [...MODEL, 'test/statemachine/compaction.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'key-record-kept-behind-its-history',
    bug: 'A key that was deleted and swept is still known, with pointers to what is gone.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/compaction.ts',
        find: '      keyspace.removeKey(target);',
        replace: '      keyspace.target(key);',
      },
    ],
    rules: [...MODEL, 'test/statemachine/compaction.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'swept-key-in-the-cache',
    bug: 'A replica that was not restarted goes on to know a key that was swept: replicas differ.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/keyspace.ts',
        find: 'if (record === null) this.#known.delete(mapKey);',
        replace: 'if (record === null) continue;',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'refused-transaction-takes-space',
    bug: 'A transaction that was refused in its middle is still counted in the space that is used.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/keyspace.ts',
        find: '      this.#spaceBytes = space;\n',
        replace: '',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'refused-transaction-hangs-keys-on-a-lease',
    bug: 'A key that a refused transaction would have hung on a lease goes when the lease ends.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/leases.ts',
        find: '      if (before === undefined) changes.delete(mapKey);\n',
        replace: '      if (before === undefined) return;\n',
      },
    ],
    rules: [...MODEL, 'test/statemachine/transactions.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'expiry-does-not-look-again',
    bug: 'An old leader ends a lease that was kept alive since.',
    history: 'etcd#12528, etcd#15247',
    edits: [
      {
        file: 'src/statemachine/executor.ts',
        find: 'if (record === null || record.deadlineMs > this.#timeMs) continue;',
        replace: 'if (record === null) continue;',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'key-stays-on-its-old-lease',
    bug: 'A key that was put again without its lease, or on another one, still goes with the old one.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/executor.ts',
        find: '    if (before !== 0) this.#leases.detach(before, target);\n',
        replace: '',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'lease-id-given-twice',
    bug: 'After a restart the state machine chooses ids of leases that it has chosen before.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/leases.ts',
        find: '    this.#lastId = lastId;',
        replace: '    this.#lastId = lastId * 0;',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'log-time-goes-back',
    bug: 'The clock of a new leader that is behind sets back the time by which leases and sessions end.',
    history: 'thesis, section 6.3',
    edits: [
      {
        file: 'src/statemachine/state-machine.ts',
        find: 'this.#logTimeMs = Math.max(this.#logTimeMs, command.timeMs);',
        replace: 'this.#logTimeMs = command.timeMs;',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'range-deletion-at-many-revisions',
    bug: 'The keys of a deleted range go one revision after the other, so that half of it can be seen.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/executor.ts',
        find: 'return this.#bounded(() => this.#inGroup(() => this.#deleteRange(operation)));',
        replace: 'return this.#bounded(() => this.#deleteRange(operation));',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'ranges-of-an-entry-miss-its-own-writes',
    bug: 'A range in a transaction gives what the key was before the entry, although it was written since.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/range-view.ts',
        find: '      if (next.done !== true && next.value === mapKey) continue;\n',
        replace: '',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'first-keys-of-what-was-not-looked-at',
    bug: 'Of a range with too many keys a transaction is given, as the first one, a key of its own behind those that were not read.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/range-view.ts',
        find: 'isWhole ? range : lookedAt(range, found.pairs)',
        replace: 'isWhole ? range : range',
      },
    ],
    rules: ['test/statemachine/first-keys.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'new-meaning-for-old-entries',
    bug: 'What an entry means changes with the code, and not with its version: who applied it before an upgrade has another state.',
    history: 'etcd#11651, the reason for versions of commands',
    edits: [
      {
        file: 'src/statemachine/compare.ts',
        find: "operator === '!=' && state.version < ABSENT_KEYS_COMPARED",
        replace: "operator === '!=' && state.version < 0",
      },
    ],
    rules: [...MODEL, 'test/statemachine/transactions.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'deletions-not-counted-in-namespaces',
    bug: 'The use of a namespace never shrinks.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/executor.ts',
        find: '    this.#count(target, null);\n',
        replace: '',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'history-page-skips-a-revision',
    bug: 'A page of the history that ends early says that the next one begins one revision too late.',
    history: OURS,
    edits: [
      {
        file: 'src/statemachine/write-history.ts',
        find: 'return { events: this.#events, nextRevision: event.revision };',
        replace: 'return { events: this.#events, nextRevision: event.revision + 1 };',
      },
    ],
    rules: MODEL,
    seedsMax: 0,
  },
  {
    name: 'written-key-left-in-the-read-cache',
    bug: 'A key that was read and then written is answered as it was read.',
    history: 'every cache',
    edits: [
      {
        file: 'src/statemachine/keyspace.ts',
        find: '      this.#read.delete(mapKey);\n',
        replace: '',
      },
    ],
    rules: ['test/statemachine/history.test.ts', 'test/statemachine/model.test.ts'],
    seedsMax: 20,
  },
  {
    name: 'written-key-passed-over',
    bug: 'Where deleted keys follow one another is remembered, and not forgotten when one of them is written again.',
    history: 'every cache',
    edits: [
      {
        file: 'src/statemachine/keyspace.ts',
        find: '    if (live === null) this.dead.put(target.mapKey);\n',
        replace: '',
      },
    ],
    rules: ['test/statemachine/dead-runs.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'deleted-keys-passed-over-by-who-reads-from-before',
    bug: 'Keys that were deleted since are passed over by a read as of a revision at which they were there.',
    history: 'every cache, under MVCC',
    edits: [
      {
        file: 'src/statemachine/dead-runs.ts',
        find: 'start < before.to && before.revision <= revision ? before : null;',
        replace: 'start < before.to ? before : null;',
      },
    ],
    rules: ['test/statemachine/dead-runs.test.ts'],
    seedsMax: 0,
  },
];
