import type { Mutation } from './mutation.js';

/** What clients are told. */
export const CLIENT_MUTATIONS: readonly Mutation[] = [
  {
    name: 'retry-applied-twice',
    bug: 'A batch that was applied is applied again when it is asked again.',
    history: 'openraft#2096, sofa-jraft#1014',
    edits: [
      {
        file: 'src/statemachine/sessions.ts',
        find: "    return { type: 'repeat', results: this.#answer(batch.id, batch.sequence) };",
        replace: "    session.lastSequence = batch.sequence - 1;\n    return { type: 'apply' };",
      },
    ],
    rules: ['test/statemachine/sessions.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'unknown-outcome-told-as-failed',
    bug: 'A write whose leader was lost is answered as not applied, and is committed later.',
    history: 'consul#2893',
    edits: [
      {
        file: 'src/server/proposals.ts',
        find: "const unknown = notLeader(this.#nextLeader(leader), 'unknown');",
        replace: "const unknown = notLeader(this.#nextLeader(leader), 'not-applied');",
      },
    ],
    rules: ['test/server/proposals.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'read-before-apply',
    bug: 'A read is served as soon as its index is confirmed, before the state has come that far.',
    history: 'thesis, section 6.4',
    edits: [
      {
        file: 'src/server/waiting-reads.ts',
        find: '} else if (answer.index <= appliedIndex) {',
        replace: '} else if (answer.index <= appliedIndex + 1_000_000) {',
      },
    ],
    rules: ['test/server/waiting-reads.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'follower-reads-without-asking',
    bug: 'A follower serves linearizable reads from what it has.',
    history: 'Raft paper, section 8',
    edits: [
      {
        file: 'src/raft/reads.ts',
        find: '    state.forwardedReads.ask(id, patient);',
        replace: '    state.outbox.answerRead({ id, ok: true, index: state.commitIndex });',
      },
    ],
    rules: ['test/raft/read-index.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'wiped-member-votes-under-its-old-name',
    bug: 'A member whose disk was wiped is taken for the one that it was.',
    history: 'openraft#2002',
    edits: [
      {
        file: 'src/server/formation.ts',
        find: 'if (known !== undefined && known.incarnation !== hello.incarnation) {',
        replace: 'if (known !== undefined && known.incarnation === null) {',
      },
    ],
    rules: ['test/server/formation.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'deaf-stream-kept',
    bug: 'Probes over a stream are sent, and that nobody answers them is of no consequence.',
    history: 'found here: run of faults with damaged links, seed 27114',
    edits: [
      {
        file: 'src/rpc/stream-probe.ts',
        find: 'this.#unanswered >= UNANSWERED_MAX',
        replace: 'this.#unanswered >= Number.POSITIVE_INFINITY',
      },
    ],
    rules: ['test/client/connection.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'refused-attempt-hides-another',
    bug: 'A call that was refused for want of room, sent again and not answered is told as not applied.',
    history: 'found here: read again with fresh eyes',
    edits: [
      {
        file: 'src/client/procedure-request.ts',
        find: "'CALL_EXPIRED', 'AP_QUEUE_FULL'],",
        replace: "'CALL_EXPIRED'],",
      },
    ],
    rules: ['test/client/calls-refused.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'aborted-lock-denies-its-place',
    bug: 'A lock that is given up says that nothing was sent, and its place may be in the queue.',
    history: 'found here: read again with fresh eyes',
    edits: [
      {
        file: 'src/client/queue-place.ts',
        find: "return cancelled(reason.cause, 'unknown');",
        replace: 'return reason;',
      },
    ],
    rules: ['test/client/locks.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'ap-call-taken-for-a-read',
    bug: 'A procedure with an effect is called at the level of a read, whose failure says that nothing was changed.',
    history: 'found here: read again with fresh eyes',
    edits: [
      {
        file: 'src/server/client-calls.ts',
        find: "if (request.route === 'read' && request.consistency !== 'ap-local') {",
        replace: "if (request.route !== 'read' && request.consistency !== 'ap-local') {",
      },
    ],
    rules: ['test/server/client-calls.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'silent-leader-doubted-late',
    bug: 'A leader that falls silent is doubted only when a whole second of its own has passed, counted from anywhere.',
    history: 'found here: read again with fresh eyes',
    edits: [
      {
        file: 'src/client/silence-watch.ts',
        find: 'const delayMs = Math.ceil(this.#dueMs(used) - clock.monotonicMs());',
        replace: 'const delayMs = SILENCE_MS;',
      },
    ],
    rules: ['test/client/connection.test.ts'],
    seedsMax: 0,
  },
];
