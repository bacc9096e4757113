import type { Mutation } from './mutation.js';

/** Leases, locks and transactions of the client. */
export const COORDINATION_MUTATIONS: readonly Mutation[] = [
  {
    name: 'lock-condition-always-holds',
    bug: 'A write under the condition of a lock is done although the lock was lost.',
    history: 'Kleppmann, How to do distributed locking: the holder that was suspended',
    edits: [
      {
        file: 'src/client/lock.ts',
        find: "      operator: '=',\n      target: 'createRevision',\n      value: fencingToken,",
        replace:
          "      operator: '<',\n      target: 'createRevision',\n      value: fencingToken + 2 ** 40,",
      },
    ],
    rules: ['test/client/locks.test.ts'],
    seedsMax: 60,
  },
  {
    name: 'lease-believed-for-too-long',
    bug: 'A client believes in its lease for longer than the cluster keeps it.',
    history: 'etcd#9888: clientv3 lease keep-alive',
    edits: [
      {
        file: 'src/client/lease.ts',
        find: '  return sentMs + ttlMs * (1 - MARGIN);',
        replace: '  return sentMs + ttlMs * (2 + MARGIN);',
      },
    ],
    rules: ['test/client/leases.test.ts'],
    seedsMax: 60,
  },
  {
    name: 'lock-taken-before-its-turn',
    bug: 'Whoever waits for a lock holds it as soon as anything in the queue has changed.',
    history: 'zookeeper recipes: locks without the look at the predecessor',
    edits: [
      {
        file: 'src/client/queue-place.ts',
        find: 'const filter = { keysOnly: true, createRevisionMax: fencingToken };',
        replace: 'const filter = { keysOnly: true, createRevisionMin: fencingToken };',
      },
    ],
    rules: ['test/client/locks.test.ts'],
    seedsMax: 60,
  },
  {
    name: 'transaction-does-not-look-again',
    bug: 'A transaction is committed although what it read has changed: write skew, lost updates.',
    history: 'Berenson et al., A critique of ANSI SQL isolation levels: A5',
    edits: [
      {
        file: 'src/client/transaction.ts',
        find: "return { type: 'txn', compares, success:",
        replace: "return { type: 'txn', compares: compares.slice(compares.length), success:",
      },
    ],
    rules: ['test/client/transaction.test.ts'],
    seedsMax: 60,
  },
];
