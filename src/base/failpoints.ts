/**
 * Named places at which a test may make a replica fail. Off unless a test turns them on: production
 * code passes {@link noFailpoints}, which does nothing.
 *
 * Names are `<component>.<before|after>-<step>`, e.g. `wal.before-sync`, `reply.before-send`.
 */
export interface Failpoints {
  /** Called each time that the place is passed. May end the process, or throw. */
  hit(name: string): void;
}

export const noFailpoints: Failpoints = { hit() {} };
