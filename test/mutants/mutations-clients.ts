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
];
