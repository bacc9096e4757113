import type { DiskWrite, LogPosition, Message } from '../../src/raft/types.js';

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
  return `writes #${write.sequence}${state}${list(write.entries)}`;
}

function details(message: Message): string {
  switch (message.type) {
    case 'RequestVote':
      return `${message.preVote ? ' (pre-vote)' : ''} last ${place(message.lastLog)}`;
    case 'RequestVoteReply':
      return `${message.preVote ? ' (pre-vote)' : ''} ${message.granted ? 'granted' : 'refused'}`;
    case 'AppendEntries':
      return ` prev ${place(message.prevLog)}${list(message.entries)} commit ${message.leaderCommit}`;
    case 'AppendEntriesReply':
      return message.result.success
        ? ` match ${message.result.matchIndex}`
        : ` refused ${message.result.prevIndex} hint ${place(message.result.hint)}`;
    case 'Heartbeat':
      return ` commit ${message.commit} round ${message.readRound}`;
    case 'HeartbeatReply':
      return ` round ${message.readRound}`;
    case 'ReadIndex':
      return '';
    case 'ReadIndexReply':
      return ` index ${message.index}`;
  }
}

function place({ index, term }: LogPosition): string {
  return `${index}:${term}`;
}

function list(places: readonly LogPosition[]): string {
  return places.length === 0 ? '' : ` [${places.map(place).join(' ')}]`;
}
