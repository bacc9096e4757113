import type { Mutation } from './mutation.js';
import { AP_MUTATIONS } from './mutations-ap.js';
import { CALL_MUTATIONS } from './mutations-calls.js';
import { CLIENT_MUTATIONS } from './mutations-clients.js';
import { CONSENSUS_MUTATIONS } from './mutations-consensus.js';
import { COORDINATION_MUTATIONS } from './mutations-coordination.js';
import { DUTY_MUTATIONS } from './mutations-duties.js';
import { JOB_MUTATIONS } from './mutations-jobs.js';
import { LEVEL_MUTATIONS } from './mutations-levels.js';
import { MEMBERSHIP_MUTATIONS } from './mutations-membership.js';
import { STORAGE_MUTATIONS } from './mutations-storage.js';
import { STORE_MUTATIONS } from './mutations-store.js';
import { WATCH_MUTATIONS } from './mutations-watch.js';

export const MUTATIONS: readonly Mutation[] = [
  ...CONSENSUS_MUTATIONS,
  ...MEMBERSHIP_MUTATIONS,
  ...STORAGE_MUTATIONS,
  ...CLIENT_MUTATIONS,
  ...LEVEL_MUTATIONS,
  ...DUTY_MUTATIONS,
  ...STORE_MUTATIONS,
  ...WATCH_MUTATIONS,
  ...COORDINATION_MUTATIONS,
  ...CALL_MUTATIONS,
  ...AP_MUTATIONS,
  ...JOB_MUTATIONS,
];
