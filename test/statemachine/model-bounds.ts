import type { ModelBounds } from './naive-model.js';

/** Small, so that histories reach them. */
export const BOUNDS: ModelBounds = {
  sessionsMax: 4,
  sessionIdleMsMax: 250,
  batchesPerSessionMax: 3,
  leasesMax: 3,
  leaseKeysMax: 2,
  namespacesMax: 2,
  txnReadKeysMax: 3,
  txnReadBytesMax: 30,
};
