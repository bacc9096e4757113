import type { Mutation } from './mutation.js';

/** Leases, log time, compaction. */
export const DUTY_MUTATIONS: readonly Mutation[] = [
  {
    name: 'log-time-from-the-wall-clock',
    bug: 'The leader stamps its time of day: one whose clock is ahead ends all leases and sessions.',
    history: 'Raft thesis, section 6.3',
    edits: [
      {
        file: 'src/server/log-clock.ts',
        find: 'return this.#baseMs + this.#clock.monotonicMs() - this.#baseAtMs;',
        replace: 'return Math.max(this.#baseMs, this.#clock.wallMs());',
      },
    ],
    rules: ['test/server/log-clock.test.ts', 'test/server/replica-store.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'log-time-that-is-not-in-the-log',
    bug: 'A new leader goes on from a time that only it had seen, and jumps over the time of leases granted since.',
    history: 'etcd#15247',
    edits: [
      {
        file: 'src/server/log-clock.ts',
        find: '    this.#leads = true;\n    this.#set(logTimeMs);',
        replace: '    this.#leads = true;\n    this.#set(Math.max(logTimeMs, this.#baseMs));',
      },
    ],
    rules: ['test/server/log-clock.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'expiry-without-a-second-look',
    bug: 'Apply ends a lease because the leader said so, although it was kept alive meanwhile.',
    history: 'etcd#15247',
    edits: [
      {
        file: 'src/statemachine/executor.ts',
        find: 'if (record === null || record.deadlineMs > this.#timeMs) continue;',
        replace: 'if (record === null) continue;',
      },
    ],
    rules: ['test/statemachine/leases.test.ts', 'test/server/replica-store.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'sweep-of-the-compacted-revision',
    bug: 'The sweep removes the tombstone at the compacted revision itself, which a watch from there must be told.',
    history: 'etcd#18089',
    edits: [
      {
        file: 'src/statemachine/compaction.ts',
        find: 'position.revision >= this.#compactedRevision) return;',
        replace: 'position.revision > this.#compactedRevision) return;',
      },
    ],
    rules: ['test/statemachine/compaction.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'expiry-before-the-keep-alives-of-its-turn',
    bug: 'Behind a pause the leader ends leases before it looks at the keep-alives that waited in its sockets.',
    history: 'etcd#9888',
    edits: [
      {
        file: 'src/server/proposals.ts',
        find: 'return [...this.#takeBatches(timeMs), ...calls, ...this.#takeSystem(timeMs)];',
        replace: 'return [...this.#takeSystem(timeMs), ...this.#takeBatches(timeMs), ...calls];',
      },
    ],
    rules: ['test/server/proposals.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'compaction-ahead-of-the-core',
    bug: 'The log is cut through an entry that the core does not yet know to be applied.',
    history: 'found here: seed 7000112',
    edits: [
      {
        file: 'src/server/applier.ts',
        find: 'this.#apply(rest, false);',
        replace: 'this.#apply(rest);',
      },
      {
        file: 'src/server/replica-parts.ts',
        find: 'appliedIndex: () => node.appliedIndex,',
        replace: 'appliedIndex: () => Math.max(node.appliedIndex, options.machine.appliedIndex),',
      },
    ],
    rules: ['test/server/applier.test.ts'],
    seedsMax: 100,
  },
];
