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

/** Every failpoint there is, in one place. */
export const FAILPOINTS = [
  'wal.before-append',
  'wal.after-append',
  'wal.before-sync',
  'wal.after-sync',
  'wal.before-segment-create',
  'wal.after-segment-create',
  'wal.before-truncate',
  'wal.after-truncate',
  'state.before-flush',
  'state.after-flush',
  'snapshot.before-chunk',
  'snapshot.after-chunk',
  'snapshot.before-finish',
  'snapshot.after-finish',
  'snapshot.before-switch',
  'snapshot.after-switch',
  'reply.before-send',
  'apply.before-entry',
  'apply.after-entry',
  'snapshot.before-reset',
  'snapshot.after-reset',
  'snapshot.before-send',
  'compaction.before-sync',
  'compaction.before-log',
  'compaction.after-log',
  'deltas.before-append',
  'deltas.after-append',
  'deltas.before-sync',
  'deltas.after-sync',
  'deltas.before-segment-create',
  'deltas.after-segment-create',
  'deltas.before-remove',
  'deltas.after-remove',
] as const;
