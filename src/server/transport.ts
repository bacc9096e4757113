import type { MemberId, Message } from '../raft/types.js';

/**
 * Carries messages of the consensus module to the other members. Best effort: it returns nothing,
 * since Raft survives loss. What arrives from others is handed to `Replica.receive`.
 */
export interface Transport {
  send(to: MemberId, messages: readonly Message[]): void;
}
