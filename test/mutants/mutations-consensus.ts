import type { Mutation } from './mutation.js';

/** Elections, replication and reads. */
export const CONSENSUS_MUTATIONS: readonly Mutation[] = [
  {
    name: 'vote-not-durable',
    bug: 'A vote is answered before it is on disk: after a crash it is given a second time.',
    history: 'etcd#10219, dragonboat#256',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: `    state.resetElectionTimer();
  }
  state.sendOnceTermIsDurable({ ...reply, term: state.currentTerm });`,
        replace: `    state.resetElectionTimer();
  }
  state.send({ ...reply, term: state.currentTerm });`,
      },
    ],
    rules: ['test/raft/async-storage.test.ts', 'test/raft/paper-5-2-elections.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'term-not-durable',
    bug: 'A new term without a vote is not written to disk.',
    history: 'openraft, docs on the order of writes',
    edits: [
      {
        file: 'src/raft/state.ts',
        find: `      written.currentTerm !== this.currentTerm ||
      written.votedFor !== this.votedFor ||`,
        replace: '      (written.votedFor !== this.votedFor && this.votedFor !== null) ||',
      },
    ],
    rules: ['test/raft/paper-5-1-terms.test.ts', 'test/raft/async-storage.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'candidacy-before-own-vote',
    bug: 'A candidate asks for votes before its vote for itself is on disk.',
    history: 'the crash variant of etcd#14370',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: `    if (preVote) state.send(request);
    // A candidate that forgot its vote for itself could vote for another in the same term.
    else state.outbox.sendAfterPersist(request);`,
        replace: '    state.send(request);',
      },
      {
        file: 'src/raft/election.ts',
        find: 'if (state.votedFor === state.id && state.hardStateIsDurable) recordVote(state, state.id, true);',
        replace: 'if (state.votedFor === state.id) recordVote(state, state.id, true);',
      },
    ],
    rules: ['test/raft/async-storage.test.ts', 'test/raft/paper-5-2-elections.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'two-votes-in-a-term',
    bug: 'Whoever asks gets the vote, though it was given to another in the same term.',
    history: 'Raft paper, section 5.2',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: '(state.votedFor === null && state.leader === null);',
        replace: 'state.leader === null;',
      },
    ],
    rules: ['test/raft/paper-5-2-elections.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'vote-without-up-to-date-check',
    bug: 'The log of a candidate is not looked at.',
    history: 'Raft paper, section 5.4.1',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: 'return free && state.log.isUpToDate(message.lastLog);',
        replace: 'return free;',
      },
    ],
    rules: ['test/raft/paper-5-4-safety.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'up-to-date-by-length-alone',
    bug: 'A longer log counts as newer, whatever the term of its last entry.',
    history: 'Raft paper, section 5.4.1',
    edits: [
      {
        file: 'src/raft/log.ts',
        find: 'return last.term > own.term || (last.term === own.term && last.index >= own.index);',
        replace: 'return last.index >= own.index;',
      },
    ],
    rules: ['test/raft/paper-5-4-safety.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'old-term-commit-by-counting',
    bug: 'An entry of an earlier term is committed by counting its copies (Figure 8).',
    history: 'logcabin#44, canonical/raft#220',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'if (index <= commitIndex || log.termAt(index) !== state.currentTerm) return;',
        replace: 'if (index <= commitIndex) return;',
      },
    ],
    rules: ['test/raft/paper-5-4-safety.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'follower-commits-to-its-own-last-index',
    bug: 'A follower commits through the end of its log, which the leader has not verified.',
    history: 'copycat#265, scylladb#9965',
    edits: [
      {
        file: 'src/raft/following.ts',
        find: 'state.commitTo(Math.min(message.leaderCommit, verified));',
        replace: 'state.commitTo(Math.min(message.leaderCommit, state.log.lastIndex));',
      },
    ],
    rules: ['test/raft/paper-5-4-safety.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'truncation-without-conflict',
    bug: 'An old AppendEntries that is overtaken cuts off the entries behind it.',
    history: 'openraft 9540c904, skiff',
    edits: [
      {
        file: 'src/raft/following.ts',
        find: 'entry.index > log.start.index && log.termAt(entry.index) !== entry.term) {',
        replace: 'entry.index > Math.max(log.start.index, commitIndex)) {',
      },
    ],
    rules: ['test/raft/paper-5-3-replication.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'conflict-not-truncated',
    bug: 'Entries that conflict with those of the leader stay in the log.',
    history: 'Raft paper, Figure 7',
    edits: [
      {
        file: 'src/raft/following.ts',
        find: 'log.termAt(entry.index) !== entry.term) {',
        replace: 'log.termAt(entry.index) === null) {',
      },
    ],
    rules: ['test/raft/paper-5-3-replication.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'acknowledged-before-durable',
    bug: 'A follower acknowledges entries that are not on its disk.',
    history: 'etcd#14370',
    edits: [
      {
        file: 'src/raft/following.ts',
        find: 'if (matchIndex > state.writes.flushedIndex) state.outbox.sendAfterPersist(reply);',
        replace: 'if (matchIndex > state.log.lastIndex) state.outbox.sendAfterPersist(reply);',
      },
    ],
    rules: ['test/raft/async-storage.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'leader-counts-itself-early',
    bug: 'The leader counts its own copy before its disk has it.',
    history: 'etcd#14370',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'leadership.storedOnQuorum(state.configuration, state.writes.flushedIndex);',
        replace: 'leadership.storedOnQuorum(state.configuration, log.lastIndex);',
      },
    ],
    rules: ['test/raft/async-storage.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'append-completion-aba',
    bug: 'A late completion of a write speaks for the entries that took the place of its own.',
    history: 'etcd-io/raft rawnode, asynchronous storage writes',
    edits: [
      {
        file: 'src/raft/writes-under-way.ts',
        find: 'for (const write of this.#writes) write.claim = Math.min(write.claim, index - 1);',
        replace: 'if (index < 0) this.#writes.length = 0;',
      },
    ],
    rules: ['test/raft/async-storage.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'quorum-of-half',
    bug: 'Half of the members count as a majority.',
    history: 'openraft#1802',
    edits: [
      {
        file: 'src/raft/quorum.ts',
        find: 'return Math.floor(size / 2) + 1;',
        replace: 'return Math.max(1, Math.floor(size / 2));',
      },
    ],
    rules: ['test/raft/quorum.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'quorum-by-text-sort',
    bug: 'Match indexes are sorted as text: 10 comes before 9.',
    history: "JavaScript's sort() without a comparison",
    edits: [
      {
        file: 'src/raft/quorum.ts',
        find: '(descending[place - 1] as number) < reached)',
        replace: 'String(descending[place - 1]) < String(reached))',
      },
    ],
    rules: ['test/raft/quorum.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'heartbeat-commit-beyond-match',
    bug: 'A heartbeat carries the commit index of the leader to followers that may hold other entries.',
    history: 'etcd-io/raft, sendHeartbeat',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'commit: Math.min(progress.matchIndex, state.commitIndex),',
        replace: 'commit: state.commitIndex,',
      },
      {
        file: 'src/raft/following.ts',
        find: 'state.commitTo(message.commit);',
        replace: 'state.commitTo(Math.min(message.commit, state.log.lastIndex));',
      },
    ],
    rules: ['test/raft/paper-5-3-replication.test.ts', 'test/raft/flow-control.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'no-pre-vote',
    bug: 'A member that comes back starts a term at once and disturbs the leader that works.',
    history: 'thesis, section 9.6; hashicorp/raft#524',
    edits: [
      {
        file: 'src/raft/raft-node.ts',
        find: "if (message.type === 'RequestVote' && !message.transfer && hearsLeader(state)) return;",
        replace:
          "if (message.type === 'RequestVote' && hearsLeader(state) && state.now < 0) return;",
      },
    ],
    rules: ['test/raft/pre-vote.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'read-without-quorum',
    bug: 'A leader answers reads without asking whether it still leads.',
    history: 'Raft paper, section 8',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: 'member === this.#id ? this.reads.round : (this.#progress.get(member)?.readRound ?? 0),',
        replace: 'member === this.#id ? this.reads.round : this.reads.round,',
      },
    ],
    rules: ['test/raft/read-index.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'read-index-before-own-term-commit',
    bug: 'A new leader answers reads before it knows what is committed.',
    history: 'etcd#7331',
    edits: [
      {
        file: 'src/raft/reads.ts',
        find: 'if (state.commitIndex < leadership.firstIndex) return;',
        replace: 'if (leadership.firstIndex < 0) return;',
      },
    ],
    rules: ['test/raft/read-index.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'reused-read-tokens',
    bug: 'A delayed answer to an earlier round confirms reads that were asked later.',
    history: 'etcd#20418, etcd-io/raft#397',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'progress.readRound = Math.max(progress.readRound, message.readRound);',
        replace: 'progress.readRound = state.leadership?.reads.round ?? 0;',
      },
    ],
    rules: ['test/raft/read-index.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'forwarded-reads-numbered-from-one',
    bug: 'After a restart, an answer to an old forwarded read is taken for one to a new read.',
    history: 'the restart variant of etcd#20418',
    edits: [
      {
        file: 'src/raft/forwarded-reads.ts',
        find: 'this.#lastRequest = random.int(2 ** 32) * NUMBERS_PER_START;',
        replace: 'this.#lastRequest = random.int(1) * NUMBERS_PER_START;',
      },
    ],
    rules: ['test/raft/read-index.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'lease-from-receive-time',
    bug: 'A lease counts from when the answer came, not from when the question was sent.',
    history: 'etcd-io/raft#166, sofa-jraft#34, tikv#964',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'if (message.leaseGranted) progress.leaseRound = Math.max(progress.leaseRound, message.readRound);',
        replace: `if (message.leaseGranted && state.leadership !== null) {
    const { leaseRounds, reads } = state.leadership;
    leaseRounds.sent(reads.nextRound(), state);
    progress.leaseRound = reads.round;
  }`,
      },
    ],
    rules: ['test/raft/lease.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'lease-kept-during-transfer',
    bug: 'A leader that has asked another to campaign still answers reads by its lease.',
    history: 'thesis, section 6.4.1',
    edits: [
      {
        file: 'src/raft/lease.ts',
        find: `  // After TimeoutNow another may be elected at any time, in spite of all promises.
  if (leaseMs === 0 || leadership.timeoutNowSent) return false;`,
        replace: '  if (leaseMs === 0) return false;',
      },
    ],
    rules: ['test/raft/lease.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'lease-promise-forgotten-at-restart',
    bug: 'A voter that restarts votes at once, though it had promised to wait.',
    history: 'thesis, section 6.4.1',
    edits: [
      {
        file: 'src/raft/state.ts',
        find: 'this.votePromise = new VotePromise(promisedMs);',
        replace: 'this.votePromise = new VotePromise(promisedMs * 0);',
      },
    ],
    rules: ['test/raft/lease.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'lost-snapshot-answer-wedges-follower',
    bug: 'A follower whose snapshot failed is never asked again.',
    history: 'hashicorp/raft#612, dgraph#2707',
    edits: [
      {
        file: 'src/raft/snapshots.ts',
        find: 'progress.snapshotFailed(start.index, state.now);',
        replace: 'progress.heard(state.now);',
      },
    ],
    rules: ['test/raft/snapshot-sending.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'pre-vote-refused-in-silence',
    bug: 'A pre-vote of an old term gets no answer, so that its sender never learns the term.',
    history: 'etcd#8243, etcd#8501, openraft#1796',
    edits: [
      {
        file: 'src/raft/raft-node.ts',
        find: "    case 'RequestVote':\n      state.sendOnceTermIsDurable({",
        replace:
          "    case 'RequestVote':\n      if (message.preVote) break;\n      state.sendOnceTermIsDurable({",
      },
    ],
    rules: ['test/raft/pre-vote.test.ts', 'test/raft/election-scenarios.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'loaded-entries-of-another-leader',
    bug: 'Entries that were read from the disk are sent, although the log was changed meanwhile.',
    history: 'openraft, docs on the stream of the log',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'if (entries.every((entry) => state.log.holds(entry))) progress.keepLoaded(entries);',
        replace: 'progress.keepLoaded(entries);',
      },
    ],
    rules: ['test/raft/flow-control.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'no-noop-of-the-own-term',
    bug: 'A new leader waits for a command before it commits what earlier leaders left.',
    history: 'Raft paper, section 8; skiff',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: "  appendOwn(state, state.leadership, { type: 'noop', payload: EMPTY_PAYLOAD });\n",
        replace: '',
      },
    ],
    rules: ['test/raft/paper-8-clients.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'ticks-before-the-network',
    bug: 'After a pause all missed ticks are made up for at once, before messages that wait are read.',
    history: 'late timers on a single thread; hashicorp/raft#524',
    edits: [
      {
        file: 'src/server/ticker.ts',
        find: 'if (late) this.#clock.defer(() => this.#clock.defer(() => this.#fired()));\n    else this.#fired();',
        replace: 'void late;\n    this.#fired();',
      },
      {
        file: 'src/server/ticker.ts',
        find: 'const isPaused = due > CATCH_UP_TICKS_MAX + this.#spareTicks;',
        replace: 'const isPaused = false;',
      },
    ],
    rules: ['test/server/ticker.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'ticks-before-they-are-due',
    bug: 'Each message that comes is taken for a tick: the busier the leader, the sooner it is taken for dead.',
    history: 'timers that are driven by messages and not by a clock',
    edits: [
      {
        file: 'src/server/ticker.ts',
        find: '    return due;\n',
        replace: '    return Math.max(due, 1);\n',
      },
    ],
    rules: ['test/server/ticker.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'ticks-in-a-step-of-their-own',
    bug: 'What a replica has told its consensus module is taken for refused in a step that has not seen it: a state is thrown away, and then switched to.',
    history: 'found here: ticks that are due come before what has come, not before its step',
    edits: [
      {
        file: 'src/server/replica.ts',
        find: "for (let i = 0; i < ticks; i += 1) this.#beginTick('unshift');",
        replace:
          'const came = this.#events.splice(0); for (let i = 0; i < ticks; i += 1) this.#ticked(); this.#events = came.concat(this.#events);',
      },
    ],
    rules: [],
    seedsMax: 100,
  },
  {
    name: 'followers-come-forward-in-the-same-tick',
    bug: 'All who lose the connection to their leader ask for votes in the next tick: votes are split, and writes stand still for an election timeout.',
    history: 'found here: one failover in twenty took more than a second',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: 'const wait = 1 + waitBehindLeader(state);',
        replace: 'const wait = 1;',
      },
    ],
    rules: ['test/raft/pre-vote.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'held-answer-never-given',
    bug: 'A message that brings nothing but a commit index is never answered, though it was a question.',
    history: 'replies that are saved: a leader that probes waits for them',
    edits: [{ file: 'src/raft/raft-node.ts', find: '  answerNews(state);\n', replace: '' }],
    rules: ['test/raft/held-answers.test.ts'],
    seedsMax: 0,
  },
];
