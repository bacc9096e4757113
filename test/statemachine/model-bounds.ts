import type { ModelBounds } from './naive-model.js';

/** Small, so that histories reach them. */
export const BOUNDS: ModelBounds = {
  sessionsMax: 3,
  sessionIdleMsMax: 2500,
  batchesPerSessionMax: 3,
  leasesMax: 4,
  leaseKeysMax: 3,
  namespacesMax: 2,
  txnReadKeysMax: 7,
  txnReadBytesMax: 40,
};
