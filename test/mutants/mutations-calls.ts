import type { Mutation } from './mutation.js';

const CALL_RULES = [
  'test/statemachine/calls.test.ts',
  'test/statemachine/call-writes.test.ts',
  'test/statemachine/call-keys.test.ts',
  'test/statemachine/calls-serial.test.ts',
];

/** Only in these there are calls; see `hasCalls` of the simulator. */
const WITH_CALLS = { from: 3, step: 4 };

/** Stored procedures: what a call has read, whether it counts once, which code it runs. */
export const CALL_MUTATIONS: readonly Mutation[] = [
  {
    name: 'call-ranges-not-looked-at',
    bug: 'A call is applied though there are other keys by now in a range that it has read (phantoms).',
    history: 'Eswaran et al. 1976; PostgreSQL before SSI',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: 'return ranges.every((range) => this.#isRangeAsRead(range, seen));',
        replace: 'return ranges.every((range) => seen !== null && range !== null);',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'call-absent-keys-not-looked-at',
    bug: 'What a call has read and was not there is not looked at again: others may have put it.',
    history: 'FoundationDB: conflict ranges of keys that are not there',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: 'revisionOf(keyspace.find(toMapKey(key), key)) === this.#revision(modRevision),',
        replace:
          'modRevision === 0 ||\n        revisionOf(keyspace.find(toMapKey(key), key)) === this.#revision(modRevision),',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'range-of-other-keys-hidden-behind-a-pending-write',
    bug: 'Behind a write of its own log entry a call does not see that an older key of its range was changed.',
    history: 'found here: the verdict on calls, before the first release',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: 'return newest === modRevisionMax;',
        replace:
          'return newest === modRevisionMax || [...this.#writers.keys()].some((own) => own > newest);',
      },
    ],
    rules: ['test/statemachine/calls-together.test.ts'],
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'call-founded-on-one-that-was-rejected',
    bug: 'A call that has seen the writes of a call before it in its entry is applied though that one was not.',
    history: 'early lock release without dependencies: dirty reads (G1a)',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: '    if (!isFounded) return false;\n',
        replace: '    if (!isFounded && dependsOn.length === 0) return false;\n',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'rejected-call-counted-as-applied-for-those-behind',
    bug: 'For the calls behind it in its entry a rejected call counts as applied.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: '    this.#revisions.push(NOT_APPLIED);',
        replace: '    this.#revisions.push(0);',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'failure-answered-without-looking-at-its-reads',
    bug: 'A procedure that aborted over what is not so any more is answered all the same.',
    history: 'optimistic concurrency without opacity; Kung and Robinson 1981',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: '    if (!this.#hold(call)) throw conflict();\n    if (!call.end.ok) return keyspace.revision;',
        replace:
          '    if (!call.end.ok) return keyspace.revision;\n    if (!this.#hold(call)) throw conflict();',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'call-of-code-that-was-replaced-is-applied',
    bug: 'A call is applied though its name stands for other code by then.',
    history: 'stored procedures cached by session: VoltDB catalog updates',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: 'if (this.#parts.procedures.resolve(procedure)?.hash !== hash) return false;',
        replace:
          'if (this.#parts.procedures.resolve(procedure) === null && hash === "") return false;',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'call-outcome-not-remembered',
    bug: 'A call that is asked for again, since its answer was lost, is applied again.',
    history: 'retries without idempotency: openraft#2096',
    edits: [
      {
        file: 'src/statemachine/call-executor.ts',
        find: '        callKeys.recordApplied(call, results);\n',
        replace: '',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'call-outcomes-kept-in-memory-alone',
    bug: 'What calls came to is not part of the state: who restarts, or installs a snapshot, applies them again.',
    history: 'Jepsen: deduplication tables that do not survive a change of leaders',
    edits: [
      {
        file: 'src/statemachine/call-keys.ts',
        find: '    for (const write of this.#staged.values()) writes.push(write);\n    this.#staged.clear();\n    for (const kind',
        replace: '    for (const kind',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'filter-of-known-calls-empty-after-a-restart',
    bug: 'Which calls are known is seen in memory first, and that is not filled from the state: who restarts, or installs a snapshot, applies them again.',
    history: 'caches in front of a deduplication table',
    edits: [
      {
        file: 'src/statemachine/call-keys.ts',
        find: '      for (const key of keys) calls.#filter.add(key);\n',
        replace: '',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'forgotten-calls-are-taken-for-new-ones',
    bug: 'It is not kept through where calls were forgotten: a late retry of a forgotten one is applied again.',
    history: 'Kafka: producer ids that expire',
    edits: [
      {
        file: 'src/statemachine/call-keys.ts',
        find: '    this.#forgottenThrough = index;\n',
        replace: '    this.#forgottenThrough = Math.min(this.#forgottenThrough, index);\n',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 60,
  },
  {
    name: 'updates-made-when-the-code-runs',
    bug: 'ctx.add writes the sum as it was when the code ran: what others added meanwhile is lost.',
    history: 'lost updates of counters',
    edits: [
      {
        file: 'src/compute/call-view.ts',
        find: '    this.#update({ type, key: keyBytes(key), by }, key, 8);\n',
        replace:
          '    const found = this.#ask(() => this.#source.get(keyBytes(key)));\n' +
          '    const before = found === null ? 0 : Number(Buffer.from(found.value).toString());\n' +
          "    this.#write(key, Buffer.from(String(type === 'add' ? before + by : Math.max(before, by))));\n",
      },
    ],
    rules: ['test/compute/groups.test.ts'],
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'procedure-reads-the-latest-of-each-key',
    bug: 'A procedure sees each key as it is when it reads it, and not all of them as of one revision (read skew).',
    history: 'Berenson et al., A critique of ANSI SQL isolation levels: A5A',
    edits: [
      {
        file: 'src/server/calls/machine-source.ts',
        find: 'const content = this.#machine().get(key, this.revision);',
        replace: 'const content = this.#machine().get(key, null);',
      },
    ],
    rules: ['test/server/calls/machine-source.test.ts'],
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'read-procedure-ahead-of-its-level',
    bug: 'A procedure that only reads is run at once, whatever it was promised to see.',
    history: 'thesis, section 6.4',
    edits: [
      {
        file: 'src/server/client-calls.ts',
        find: '    replica.read(request, (error) => {\n      release();\n',
        replace:
          "    replica.read({ consistency: 'any', bound: 0 }, (error) => {\n      release();\n",
      },
    ],
    rules: [],
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'procedure-not-found-where-its-deployment-was-not-heard-of',
    bug: 'A replica that lags says that there is no procedure, though it was deployed long before.',
    history: 'found here: seed 19',
    edits: [
      {
        file: 'src/server/calls/calls.ts',
        find: 'this.resolve(request.procedure) ?? (await confirmed(this.#host, request.procedure));',
        replace: 'this.resolve(request.procedure) ?? procedureNotFound(request.procedure);',
      },
    ],
    rules: ['test/server/calls/calls.test.ts'],
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'overlay-does-not-tell-whose-writes-were-seen',
    bug: 'A call sees what one before it would write, and does not say so: it is applied also without that one.',
    history: 'Larson et al. 2011: commit dependencies',
    edits: [
      {
        file: 'src/compute/group-overlay.ts',
        find: '    this.#dependsOn.add(place);\n',
        replace: '    if (value !== null && this.#isBlocked) this.#dependsOn.add(place);\n',
      },
    ],
    rules: ['test/compute/groups.test.ts'],
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'call-behind-an-update-is-not-put-off',
    bug: 'A call that reads what one before it in its group adds to is run over the old number.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/compute/group-overlay.ts',
        find: 'if (this.#overlay.isUpdated(mapKey)) throw this.#block();',
        replace: 'if (this.#overlay.isUpdated(mapKey)) this.#overlay.find(mapKey);',
      },
    ],
    rules: ['test/compute/groups.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'writes-not-held-back-for-a-call-that-starves',
    bug: 'A call that was overtaken again and again is run while others still write: it may never be applied.',
    history: 'starvation of long transactions under optimistic concurrency',
    edits: [
      {
        file: 'src/server/proposals.ts',
        find: '    if (this.#isHeld) return calls;\n',
        replace: '    if (this.#isHeld && timeMs < 0) return calls;\n',
      },
    ],
    rules: ['test/server/proposals.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'call-run-again-for-everyone-who-asks',
    bug: 'A call that waits is put into the lane again with each connection that asks for it: the slower, the longer the queue.',
    history: 'found here: seed 63; Bronson et al. 2021, Metastable failures',
    edits: [
      {
        file: 'src/server/calls/call-lane.ts',
        find: 'if (known !== undefined && isSame(known.request, request)) {',
        replace:
          'if (known !== undefined && isSame(known.request, request) && known.others.length < 0) {',
      },
    ],
    rules: ['test/server/calls/call-lane.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'lane-believes-what-it-ran',
    bug: 'The leader answers with what the code came to in its memory, also when the log has rejected it.',
    history: 'answers before the commit: MongoDB write concern 1',
    edits: [
      {
        file: 'src/server/calls/call-lane.ts',
        find: 'import { unpackCall, unpackCallOutcome } from',
        replace: 'import { packCallOutcome, unpackCall, unpackCallOutcome } from',
      },
      {
        file: 'src/server/calls/call-lane.ts',
        find: '        member.waiting.conflicts += 1;\n        again.push(member.waiting);',
        replace:
          '        const { end } = unpackCall(member.record);\n' +
          "        const result = end.ok ? end.result : 'null';\n" +
          '        const results = packCallOutcome({ result, revision: this.#host.machine().revision });\n' +
          '        settle(member, { ok: true, results, repeated: false });',
      },
    ],
    rules: ['test/server/calls/call-lane.test.ts'],
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'events-of-one-name-write-over-each-other',
    bug: 'The second event of one name in a call takes the place of the first: watchers are told one.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/base/call.ts',
        find: '    counts.set(name, which + 1);\n',
        replace: '    counts.set(name, which);\n',
      },
    ],
    rules: CALL_RULES,
    seeds: WITH_CALLS,
    seedsMax: 40,
  },
  {
    name: 'history-goes-before-triggers-are-called',
    bug: 'Compaction takes what a trigger has not been called with: those writes are never told.',
    history: 'seed 2066 of our own simulator',
    edits: [
      {
        file: 'src/statemachine/history-holds.ts',
        find: 'settings.isFull(keyspace.spaceBytes)',
        replace: 'keyspace.spaceBytes >= 0',
      },
    ],
    rules: ['test/statemachine/held-history.test.ts', 'test/server/calls/triggers.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'trigger-marks-what-it-was-not-called-with',
    bug: 'A trigger whose calls fail moves its cursor on behind writes that wait to be told.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/server/calls/triggers.ts',
        find: 'const isBusy = this.#isCalling || this.#events.length > 0 || this.#openRevision !== null;',
        replace: 'const isBusy = false;',
      },
    ],
    rules: ['test/server/calls/triggers.test.ts'],
    seedsMax: 0,
  },
];
