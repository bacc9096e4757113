import { unpackConfiguration } from '../../src/raft/configuration-codec.js';
import type {
  Configuration,
  DiskWrite,
  Entry,
  LogPosition,
  Message,
} from '../../src/raft/types.js';

/** Messages as lines of a play. */
export function describeMessage(message: Message): string {
  return `${message.from} -> ${message.to}  ${message.type} term ${message.term}${details(message)}`;
}

export function describeWrite(write: DiskWrite): string {
  const state =
    write.hardState === null
      ? ''
      : ` term ${write.hardState.currentTerm} vote ${write.hardState.votedFor ?? '-'}` +
        ` commit ${write.hardState.commitIndex}`;
  return `writes #${write.sequence}${state}${listEntries(write.entries)}`;
}

function details(message: Message): string {
  switch (message.type) {
    case 'RequestVote':
      return `${message.preVote ? ' (pre-vote)' : ''} last ${place(message.lastLog)}${message.transfer ? ' (transfer)' : ''}`;
    case 'RequestVoteReply':
      return `${message.preVote ? ' (pre-vote)' : ''} ${message.granted ? 'granted' : 'refused'}`;
    case 'AppendEntries':
      return ` prev ${place(message.prevLog)}${listEntries(message.entries)} commit ${message.leaderCommit}`;
    case 'AppendEntriesReply':
      return message.result.success
        ? ` match ${message.result.matchIndex}`
        : ` refused ${message.result.prevIndex} hint ${place(message.result.hint)}`;
    case 'Heartbeat':
      return (
        ` commit ${message.commit} round ${message.readRound}` +
        (message.leaseMs > 0 ? ` lease ${message.leaseMs} ms` : '')
      );
    case 'HeartbeatReply':
      return ` round ${message.readRound}${message.leaseGranted ? ' lease granted' : ''}`;
    case 'ReadIndex':
      return '';
    case 'ReadIndexReply':
      return ` index ${message.index}`;
    case 'TimeoutNow':
      return '';
  }
}

function place({ index, term }: LogPosition): string {
  return `${index}:${term}`;
}

function listEntries(entries: readonly Entry[]): string {
  return entries.length === 0 ? '' : ` [${entries.map(describeEntry).join(' ')}]`;
}

function describeEntry(entry: Entry): string {
  if (entry.type !== 'configuration') return place(entry);
  const members = describeMembers(unpackConfiguration(entry.payload, entry.index));
  return `${place(entry)} {${members}}`;
}

/** `n1 n2 n4 | n1 n2 n3, learners n5`: the new voters, the old ones in a joint one, the learners. */
export function describeMembers(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, promotions } = configuration;
  const parts = [voters.join(' ')];
  if (votersOutgoing.length > 0) parts.push(` | ${votersOutgoing.join(' ')}`);
  if (learners.length > 0) parts.push(`, learners ${learners.join(' ')}`);
  if (learnersNext.length > 0) parts.push(`, learners next ${learnersNext.join(' ')}`);
  for (const { member, replaces } of promotions) {
    parts.push(`, to vote ${member}${replaces === null ? '' : ` for ${replaces}`}`);
  }
  return parts.join('');
}
