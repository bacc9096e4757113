import type { Mutation } from './mutation.js';

/** Changes of the members, transfer of leadership, snapshots in the core. */
export const MEMBERSHIP_MUTATIONS: readonly Mutation[] = [
  {
    name: 'single-quorum-in-joint-consensus',
    bug: 'A joint configuration decides by the majority of the new voters alone.',
    history: 'Raft paper, section 6',
    edits: [
      {
        file: 'src/raft/quorum.ts',
        find: 'if (voters.votersOutgoing.length === 0) return incoming;\n  return Math.min(',
        replace: 'if (voters.votersOutgoing.length >= 0) return incoming;\n  return Math.min(',
      },
      {
        file: 'src/raft/quorum.ts',
        find: 'if (voters.votersOutgoing.length === 0) return incoming;\n  const outgoing',
        replace: 'if (voters.votersOutgoing.length >= 0) return incoming;\n  const outgoing',
      },
    ],
    rules: ['test/raft/quorum.test.ts', 'test/raft/paper-6-configurations.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'joint-consensus-skipped',
    bug: 'Several voters are replaced at once without a joint configuration.',
    history: 'Raft paper, section 6',
    edits: [
      {
        file: 'src/raft/configuration-change.ts',
        find: 'if (isSameSet(current.voters, voters)) {',
        replace: 'if (current.voters.length > 0) {',
      },
    ],
    rules: ['test/raft/configuration-change.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'configuration-at-commit',
    bug: 'A configuration takes effect when it is committed, not when it is appended.',
    history: 'etcd#7625, #11284, #12359',
    edits: [
      {
        file: 'src/raft/configuration-history.ts',
        find: 'return this.#uncommitted.at(-1) ?? this.#committed;',
        replace: 'return this.#committed;',
      },
      {
        file: 'src/raft/configuration-history.ts',
        find: 'configuration.index > this.current.index,',
        replace: 'configuration.index > this.#committed.index,',
      },
    ],
    rules: ['test/raft/paper-6-configurations.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'configuration-not-rolled-back',
    bug: 'A configuration whose entry was cut off the log stays in effect.',
    history: 'openraft#1808',
    edits: [
      {
        file: 'src/raft/configuration-history.ts',
        find: `      this.#uncommitted.pop();
      changed = true;`,
        replace: `      changed = true;
      break;`,
      },
    ],
    rules: ['test/raft/paper-6-configurations.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'change-before-own-term-commit',
    bug: 'A new leader changes the members before it has committed an entry of its own term.',
    history: 'Ongaro, 2015: bug in single-server membership changes',
    edits: [
      {
        file: 'src/raft/membership.ts',
        find: `  if (commitIndex < leadership.firstIndex) {
    // Else`,
        replace: `  if (leadership.firstIndex < 0) {
    // Else`,
      },
    ],
    rules: ['test/raft/paper-6-membership.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'two-changes-at-once',
    bug: 'A second change is taken while the first is not committed.',
    history: 'Raft paper, section 6; etcd: one pending change',
    edits: [
      {
        file: 'src/raft/membership.ts',
        find: 'if (isJoint(current) || current.index > commitIndex) {',
        replace: 'if (current.index < 0) {',
      },
    ],
    rules: ['test/raft/paper-6-membership.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'joint-left-before-commit',
    bug: 'The joint configuration is left before it is committed.',
    history: 'Raft paper, section 6',
    edits: [
      {
        file: 'src/raft/membership.ts',
        find: 'if (commitIndex < leadership.firstIndex || configuration.index > commitIndex) return;',
        replace: 'if (commitIndex < leadership.firstIndex) return;',
      },
    ],
    rules: ['test/raft/paper-6-membership.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'learner-counted',
    bug: 'Learners count as voters.',
    history: 'hashicorp/raft: non-voters in the quorum',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: `    return quorumReached(configuration, (member) =>
      member === this.#id ? ownFlushedIndex`,
        replace: `    const all = { ...configuration, voters: [...configuration.voters, ...configuration.learners] };
    return quorumReached(all, (member) =>
      member === this.#id ? ownFlushedIndex`,
      },
    ],
    rules: ['test/raft/learners.test.ts', 'test/raft/paper-6-membership.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'removed-leader-goes-on',
    bug: 'A leader that was removed goes on leading.',
    history: 'etcd#11038',
    edits: [
      {
        file: 'src/raft/stepping-down.ts',
        find: "stepDown(state, leadership, 'removed');",
        replace: "if (leadership.firstIndex < 0) stepDown(state, leadership, 'removed');",
      },
    ],
    rules: ['test/raft/paper-6-membership.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'promotion-without-catching-up',
    bug: 'A learner gets its vote at once, though it lacks the log.',
    history: 'thesis, section 4.2.1',
    edits: [
      {
        file: 'src/raft/membership.ts',
        find: 'const ready = alive.filter(({ member }) => leadership.catchUps.has(member));',
        replace: 'const ready = alive;',
      },
    ],
    rules: ['test/raft/learners.test.ts', 'test/raft/paper-6-membership.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'proposals-during-transfer',
    bug: 'A leader takes proposals while it hands leadership over.',
    history: 'thesis, section 3.10',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: '  if (isClosing(leadership)) {\n    // The target',
        replace: '  if (leadership.firstIndex < 0) {\n    // The target',
      },
    ],
    rules: ['test/raft/transfer.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'transfer-to-one-that-has-not-applied',
    bug: 'Leadership is handed to a member that has the log and has yet to apply much of it: all writes wait for that.',
    history:
      'found here: a newcomer was left alone behind 20 s of writes, and nobody was answered for a second',
    edits: [
      {
        file: 'src/raft/transfer.ts',
        find: '    hasApplied(state, leadership, target) ||\n    (isApplied',
        replace: '    progress.matchIndex >= committedIndex ||\n    (isApplied',
      },
    ],
    rules: ['test/raft/transfer-applied.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'asked-to-lead-only-once',
    bug: 'The message that asks a member to lead is lost, and nobody repeats it: the hand-over fails.',
    history: 'found here, by reading',
    edits: [
      {
        file: 'src/raft/transfer.ts',
        find: '  if (askedAtTick !== null && state.now - askedAtTick < state.options.heartbeatTicks) return;',
        replace: '  if (askedAtTick !== null) return;',
      },
    ],
    rules: ['test/raft/transfer.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'stalled-disk-leads',
    bug: 'A leader whose disk does not answer goes on sending heartbeats.',
    history: 'hashicorp/raft#503, etcd#15247',
    edits: [
      {
        file: 'src/raft/stepping-down.ts',
        find: 'if (!state.diskStalled || ',
        replace: 'if (state.now >= 0 || ',
      },
    ],
    rules: ['test/raft/stalled-disk.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'stale-configuration-in-snapshot',
    bug: 'A member that installs a snapshot keeps the configuration that it had.',
    history: 'openraft#1808',
    edits: [
      {
        file: 'src/raft/configuration-history.ts',
        find: `    this.#uncommitted.splice(0, this.#uncommitted.length, ...kept);
    this.#committed = committed;`,
        replace: `    this.#uncommitted.splice(0, this.#uncommitted.length, ...kept);
    if (committed.index < 0) this.#committed = committed;`,
      },
    ],
    rules: ['test/raft/snapshot-install.test.ts', 'test/raft/paper-6-configurations.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'snapshot-keeps-conflicting-log',
    bug: 'Entries behind a snapshot stay, though the log held another entry at its place.',
    history: 'openraft#559',
    edits: [
      {
        file: 'src/raft/snapshots.ts',
        find: 'if (!state.log.holds(position)) return false;',
        replace: 'if (state.log.lastIndex < position.index) return false;',
      },
    ],
    rules: ['test/raft/snapshot-install.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'stale-snapshot-installed',
    bug: 'A snapshot that is older than what was applied takes the state back.',
    history: 'dragonboat#369, tikv#12470',
    edits: [
      {
        file: 'src/raft/snapshots.ts',
        find: 'if (position.index <= state.commitIndex) return true;',
        replace: 'if (position.index < 0) return true;',
      },
    ],
    rules: ['test/raft/snapshot-install.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'snapshot-given-up-with-its-leader',
    bug: 'A snapshot is of no use when its sender does not lead any more: none arrives while leaders change often.',
    history: 'found here',
    edits: [
      {
        file: 'src/server/snapshot-traffic.ts',
        find: 'this.#senders.leadershipLost();',
        replace: "this.#senders.cancelAll(new BalsaError('NOT_LEADER', 'leadership was lost'));",
      },
      {
        file: 'src/raft/snapshots.ts',
        find: 'if (!mayInstall(state, snapshot)) {',
        replace: 'if (term < state.currentTerm || !mayInstall(state, snapshot)) {',
      },
    ],
    rules: ['test/server/replica-snapshot.test.ts', 'test/raft/snapshot-terms.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'snapshot-taken-for-a-sign-of-life',
    bug: 'Whoever gets a snapshot waits anew for its leader: one that leads no more, and sends again and again, holds off elections.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/raft/snapshots.ts',
        find: 'if (!mayInstall(state, snapshot)) {',
        replace: 'state.resetElectionTimer();\n  if (!mayInstall(state, snapshot)) {',
      },
    ],
    rules: ['test/raft/snapshot-terms.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'old-snapshot-taken-by-a-leader',
    bug: 'A leader installs a snapshot that a leader of before has sent, in place of the log that it replicates.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/raft/snapshots.ts',
        find: 'if (state.leadership !== null) return false;',
        replace: 'if (state.leadership !== null && state.installing !== null) return false;',
      },
    ],
    rules: ['test/raft/snapshot-terms.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'dead-member-holds-up-what-the-log-has-had',
    bug: 'A leader that has never heard of a member that is gone writes the oldest commands, for ever: what is newer is refused.',
    history:
      'found here by jepsen-like; etcd keeps its cluster version in the store for that reason',
    edits: [
      {
        file: 'src/server/replica-parts.ts',
        find: 'return Math.max(lowest, machine().knownCommandVersion);',
        replace: 'return Math.max(lowest, 0 * machine().knownCommandVersion);',
      },
    ],
    rules: ['test/server/replica-requests.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'joiner-of-a-change-that-was-rolled-back',
    bug: 'Who is called in by a change that never commits asks no more to be let in.',
    history: 'found here, in a review',
    edits: [
      {
        file: 'src/server/peers.ts',
        find: 'roster()?.hasBeenMember === true ? null : standing.asked',
        replace: 'roster()?.hasBeenMember === true ? null : standing.joining',
      },
    ],
    rules: ['test/server/rolled-back-joiner.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'dead-leader-heard-over-the-second-stream',
    bug: 'What a leader sent over its stream for large frames is a sign of life, also where the other one has ended.',
    history: 'found here: read again with fresh eyes',
    edits: [
      {
        file: 'src/server/peers.ts',
        find: 'if (!this.#stopped && !this.#inbound.has(member)) this.#options.onDisconnected(member);',
        replace: 'void member;',
      },
    ],
    rules: ['test/server/peers.test.ts'],
    seedsMax: 0,
  },
];
