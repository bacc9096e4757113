import type { Mutation } from './mutation.js';

const MERGE_RULES = ['test/statemachine/merge.test.ts'];
const CELL_RULES = ['test/base/cell.test.ts', 'test/base/cell-merge.test.ts'];
const AP_RULES = [
  'test/server/ap/ap.test.ts',
  'test/server/ap/ap-faults.test.ts',
  'test/server/ap/pending-deltas.test.ts',
];

/** Only in these there are `ap` calls; see `hasAp` of the simulator. */
const WITH_AP = { from: 1, step: 4 };

/** As {@link WITH_AP}, with triggers and scheduled calls; see `hasFollowUps`. */
const WITH_FOLLOW_UPS = { from: 2, step: 4 };

/** Procedures that stay available: what was acknowledged is merged, once, and behind what it has seen; and calls that follow from others. */
export const AP_MUTATIONS: readonly Mutation[] = [
  {
    name: 'delta-merged-again-by-the-next-leader',
    bug: 'The log does not know how far it is with a queue: what two leaders bring is merged twice.',
    history:
      'Almeida et al. 2018, Delta state replicated data types: intervals that are not checked',
    edits: [
      {
        file: 'src/statemachine/merge-executor.ts',
        find: 'if (sequence !== before + 1) return false;',
        replace: 'if (sequence > before + 1) return false;',
      },
      {
        file: 'src/statemachine/merges.ts',
        find: "assert(sequence === known.sequence + 1, 'deltas of an origin are merged in order, each once');",
        replace: '',
      },
    ],
    rules: MERGE_RULES,
    seedsMax: 0,
  },
  {
    name: 'queue-stands-still-behind-a-repeated-call',
    bug: 'A delta that does not count leaves its queue where it was: nothing behind it is ever merged.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/statemachine/merge-executor.ts',
        find: 'for (const delta of turn) merges.advance(delta);',
        replace: 'for (const delta of counted) merges.advance(delta);',
      },
    ],
    rules: MERGE_RULES,
    seeds: WITH_AP,
    seedsMax: 10,
  },
  {
    name: 'call-merged-from-both-sides',
    bug: 'A call that was made on both sides of a partition under one key counts twice.',
    history:
      'Dynamo 2007: a cart in which what was deleted comes back; retries to another coordinator',
    edits: [
      {
        file: 'src/statemachine/merge-executor.ts',
        find: 'if (seen.has(name) || merges.find(key) !== null) return false;',
        replace: 'if (seen.has(name)) return false;',
      },
    ],
    rules: MERGE_RULES,
    seeds: WITH_AP,
    seedsMax: 10,
  },
  {
    name: 'call-of-another-mode-forgotten-too-soon',
    bug: 'A call that was made as `ap` on one side and as `cp` on the other counts twice when the sides meet late.',
    history: 'found here by reading, before the first release',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: 'if (this.#mayBeMerged(call, entry)) {',
        replace: 'if (this.#mayBeMerged(call, entry) && entry.version < AP_PASTS) {',
      },
    ],
    rules: ['test/statemachine/calls-across-modes.test.ts', 'test/server/ap/ap-faults.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'call-of-another-mode-remembered-by-log-time',
    bug: 'Log time, which stands still while nobody leads, is compared with times of day: such a call is forgotten at once.',
    history: 'found here by a review, before the first release',
    edits: [
      {
        file: 'src/statemachine/state-machine.ts',
        find: 'wallMs: command.wallMs,',
        replace: 'wallMs: timeMs,',
      },
    ],
    rules: ['test/statemachine/calls-across-modes.test.ts', 'test/server/ap/ap-faults.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'no-room-for-what-a-member-brings-back',
    bug: 'When too many calls are remembered, what a member has made while it was away is never merged, so that none is forgotten.',
    history: 'found here by a review, before the first release',
    edits: [
      {
        file: 'src/statemachine/merges.ts',
        find: 'if (version < AP_PASTS || this',
        replace: 'if (version >= MERGED_KEYS_BY_KIND || this',
      },
    ],
    rules: MERGE_RULES,
    seedsMax: 0,
  },
  {
    name: 'rights-for-an-addition-that-does-not-count',
    bug: 'A delta under a key that was merged changes the cells again, though it is not recorded.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/statemachine/merge-executor.ts',
        find: 'const revision = this.#write(counted, merges.originsOf(members), version);',
        replace: 'const revision = this.#write(turn, merges.originsOf(members), version);',
      },
    ],
    rules: MERGE_RULES,
    seeds: WITH_AP,
    seedsMax: 10,
  },
  {
    name: 'merged-key-forgotten-while-a-member-is-away',
    bug: 'The key of a merged call is forgotten when one member has nothing as old, and not when none has.',
    history: 'Cassandra: tombstones collected before a node that was down has seen them',
    edits: [
      {
        file: 'src/statemachine/merges.ts',
        find: 'return Math.min(...members.map(',
        replace: 'return Math.max(...members.map(',
      },
    ],
    rules: MERGE_RULES,
    seedsMax: 0,
  },
  {
    name: 'merged-key-forgotten-though-a-copy-waits',
    bug: 'A member that says what it has nothing of any more forgets the copies that it holds of a lost queue.',
    history: 'found here: what is promised of keys, before the first release',
    edits: [
      {
        file: 'src/server/ap/exchange.ts',
        find: 'Math.min(clock.nowMs, pending.oldestCopyMs) - 1',
        replace: 'clock.nowMs - 1',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'no-room-for-merged-keys-ever-again',
    bug: 'When too many merged keys are remembered none is forgotten by an entry that brings more.',
    history: 'found here: what is promised of keys, before the first release',
    edits: [
      {
        file: 'src/statemachine/merge-executor.ts',
        find: '      this.#forgetOld(merge, version);\n      return { ok: false, error };',
        replace: '      return { ok: false, error };',
      },
    ],
    rules: MERGE_RULES,
    seedsMax: 0,
  },
  {
    name: 'delta-sent-before-it-is-durable',
    bug: 'Others get what a power failure takes from its origin, which gives its number to another call.',
    history: 'raft: replies before the sync; here of queues',
    edits: [
      {
        file: 'src/server/ap/exchange.ts',
        find: '      if (pending.position > queue.durablePosition) break;\n',
        replace: '',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'number-of-a-delta-given-again-after-a-restart',
    bug: 'A queue whose oldest files were removed begins to count anew: what is made then is taken for merged.',
    history: 'Kafka: producer epochs that were not fenced',
    edits: [
      {
        file: 'src/storage/delta-recovery.ts',
        find: '      this.#lastSequences.set(header.origin, header.ownSequence);',
        replace: '      this.#lastSequences.set(header.origin, Math.min(header.ownSequence, 0));',
      },
    ],
    rules: ['test/storage/delta-queue.test.ts', 'test/storage/delta-queue-crash.test.ts'],
    seeds: WITH_AP,
    seedsMax: 10,
  },
  {
    name: 'cell-seen-without-what-waits',
    bug: 'A replica shows what is merged alone, and not what it has acknowledged itself.',
    history: 'Terry et al. 1994: read your writes',
    edits: [
      {
        file: 'src/server/ap/pending-deltas.ts',
        find: 'for (const delta of pending.slice(view.applied)) applyTo',
        replace: 'for (const delta of pending.slice(pending.length)) applyTo',
      },
    ],
    rules: AP_RULES,
    seeds: WITH_AP,
    seedsMax: 10,
  },
  {
    name: 'rights-taken-twice-at-one-time',
    bug: 'Two calls that run at one time take the same rights, and both say that they have.',
    history: 'Balegas et al. 2015: rights are used at one place, one call at a time',
    edits: [
      {
        file: 'src/server/ap/ap-calls.ts',
        find: '    if (!pending.allows(effects.cells, time)) return null;\n',
        replace: '',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'rights-not-looked-at',
    bug: 'An escrow counter gives what it has not.',
    history: 'O’Neil 1986, The escrow transactional method',
    edits: [
      {
        file: 'src/base/cell-numbers.ts',
        find: 'if (left < 0n) return false;',
        replace: 'if (left < -5n) return false;',
      },
    ],
    rules: [...MERGE_RULES, ...CELL_RULES],
    seedsMax: 0,
  },
  {
    name: 'rights-given-before-they-are-merged',
    bug: 'Whoever hears that it is given rights uses them at once: merged in another order they are not there.',
    history: 'Balegas et al. 2015: a transfer of rights is a change like any other',
    edits: [
      {
        file: 'src/base/cell-numbers.ts',
        find: '      if (origins === null) this.#unmerged += by;\n      else this.#raise(change.to, by);',
        replace: '      this.#raise(change.to, by);',
      },
    ],
    rules: CELL_RULES,
    seedsMax: 0,
  },
  {
    name: 'rights-free-before-the-log-has-chosen',
    bug: 'A call made on both sides of a partition gives its rights back when the other side’s seems to count, and the log counts this one.',
    history: 'found here by five real replicas under load: 61 were taken of 60',
    edits: [
      {
        file: 'src/server/ap/pending-deltas.ts',
        find: '    if (!isOwn) return;\n    this.#undecided',
        replace: '    if (isOwn) return;\n    this.#undecided',
      },
    ],
    rules: ['test/server/ap/pending-deltas.test.ts', 'test/server/ap/ap-properties.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'removal-that-knows-one-of-two-copies',
    bug: 'What a call has added stays, though it was removed: the log counts the same call of another replica, whose tags are others.',
    history: 'found here, by looking for more of the bug above',
    edits: [
      {
        file: 'src/base/delta.ts',
        find: 'if (version < CALL_TAGS) return',
        replace: 'if (version <= CALL_TAGS) return',
      },
    ],
    rules: ['test/statemachine/merge.test.ts', 'test/server/ap/ap-properties.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'removal-of-what-it-has-not-seen',
    bug: 'Who removes an item of a set takes away what was added elsewhere at the same time.',
    history: 'Shapiro et al. 2011: observed-remove sets',
    edits: [
      {
        file: 'src/base/cell-collections.ts',
        find: 'const kept = without(before, resolved(change.observed, stamp));',
        replace:
          "const kept = change.type === 'remove' ? [] : without(before, resolved(change.observed, stamp));",
      },
    ],
    rules: CELL_RULES,
    seedsMax: 0,
  },
  {
    name: 'delta-passed-on-before-what-it-had-seen',
    bug: 'A replica leaves a copy to its origin, and sends what it has made with knowledge of it.',
    history: 'Lloyd et al. 2011, Don’t settle for eventual: dependencies that are not waited for',
    edits: [
      {
        file: 'src/server/ap/exchange.ts',
        find: 'if (!pending.isOwn && nowMs - pending.heldMs < FORWARD_MS) break;',
        replace: 'if (!pending.isOwn && nowMs - pending.heldMs < FORWARD_MS) continue;',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'delta-taken-in-behind-a-lost-frame',
    bug: 'A frame is taken in though the one before it was lost, with what it has seen.',
    history: 'found here: what is promised of causes, before the first release',
    edits: [
      {
        file: 'src/server/ap/exchange.ts',
        find: 'pending.through(origin) < sequence)) {',
        replace: 'pending.through(origin) < sequence && sequence === 0)) {',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'ap-call-answered-before-its-disk',
    bug: 'An ap call is answered while its delta is in memory alone: a power failure takes it.',
    history: 'MongoDB: journal commit interval',
    edits: [
      {
        file: 'src/server/ap/ap-calls.ts',
        find: 'queue.whenDurable(queue.position, () => resolve(made));',
        replace: 'queue.whenDurable(0, () => resolve(made));',
      },
    ],
    rules: AP_RULES,
    seeds: WITH_AP,
    seedsMax: 10,
  },
  {
    name: 'copy-counted-before-it-is-durable',
    bug: 'A replica says that it has a copy which its disk has not.',
    history: 'raft: replies before the sync; here of copies',
    edits: [
      {
        file: 'src/server/ap/exchange.ts',
        find: 'through.set(one.delta.origin, one.delta.sequence - 1);',
        replace: 'through.set(one.delta.origin, one.delta.sequence);',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'deltas-forgotten-before-a-restart-knows-of-them',
    bug: 'Deltas are removed when the entry that merged them is on disk, which a restart applies only when a leader says that it is committed.',
    history: 'found here: an audit, before the first release',
    edits: [
      {
        file: 'src/server/replica-parts.ts',
        find: 'index <= Math.min(node.savedCommitIndex, node.flushedIndex)',
        replace: 'index <= node.flushedIndex',
      },
    ],
    rules: ['test/server/ap/ap-restart.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'copies-wanted-are-not-waited-for-at-a-copy',
    bug: 'A repeated call is answered from a copy at once, however many disks it was to be on.',
    history: 'found here: what is promised of peers, before the first release',
    edits: [
      {
        file: 'src/server/ap/ap-calls.ts',
        find: 'const uncopied = delta === null ? null',
        replace: 'const uncopied = delta === null || made.repeated ? null',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'call-merged-by-a-snapshot-seen-twice',
    bug: 'A call that others have merged is shown beside the own one, which waits, when a snapshot has brought it.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/server/ap/pending-deltas.ts',
        find: '    if (isNew) this.#lookForMergedCalls();\n',
        replace: '',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'queue-of-deltas-without-bound',
    bug: 'A replica that is cut off takes in ap calls until its disk is full.',
    history: 'metastable queues; our own rule that nothing grows without bound',
    edits: [
      {
        file: 'src/server/ap/ap-calls.ts',
        find: '    if (pending.ownBytes >= limits.apQueueBytesMax) return queueFull(limits.apQueueBytesMax);\n',
        replace: '',
      },
    ],
    rules: AP_RULES,
    seedsMax: 0,
  },
  {
    name: 'trigger-called-again-with-the-same-writes',
    bug: 'How far a trigger has come is not written with its call: the next leader calls it with the same writes.',
    history: 'Debezium, Kafka Connect: offsets that are committed apart from what they stand for',
    edits: [
      {
        file: 'src/server/calls/triggers.ts',
        find: 'supplement: { ...this.#moveTo(cursor), evenIfFailed: isLastTry },',
        replace: 'supplement: { reads: [], writes: [], evenIfFailed: isLastTry },',
      },
    ],
    rules: [],
    seeds: WITH_FOLLOW_UPS,
    seedsMax: 10,
  },
  {
    name: 'scheduled-call-made-before-its-time',
    bug: 'A scheduled call is made when it is seen, and not when it is due.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/server/calls/schedules.ts',
        find: 'dueText(logMs() + 1)',
        replace: 'dueText(logMs() + 3001)',
      },
      {
        file: 'src/server/calls/schedules.ts',
        find: 'untilMs > logMs();',
        replace: 'untilMs > logMs() + 3000;',
      },
    ],
    rules: [],
    seeds: WITH_FOLLOW_UPS,
    seedsMax: 10,
  },
  {
    name: 'last-change-of-a-cell-is-not-told',
    bug: 'Changes of cells that wait for a question are lost when the call ends without one, and it is answered all the same.',
    history: 'buffered writes that nobody flushes: fflush(3) before exit',
    edits: [
      {
        file: 'src/compute/sandbox/guest.ts',
        find: 'const told = stringify([result, seen, [...written], changes]);',
        replace: 'const told = stringify([result, seen, [...written], []]);',
      },
    ],
    rules: ['test/compute/cell-changes.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'merged-key-taken-for-a-new-one-after-a-restart',
    bug: 'The filter of keys that are remembered is empty after a restart: a call that was merged before counts again.',
    history: 'Bloom filters that are not written with the table they belong to',
    edits: [
      {
        file: 'src/statemachine/merges.ts',
        find: '      for (const key of keys) merges.#filter.add(key);\n',
        replace: '',
      },
    ],
    rules: [...MERGE_RULES, ...AP_RULES],
    seeds: WITH_AP,
    seedsMax: 20,
  },
];
