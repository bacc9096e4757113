import type { FaultRecord } from '../history/operation.js';
import { apChecker } from './ap/ap-cells.js';
import { appendChecker } from './append/append-lists.js';
import { bankChecker } from './bank.js';
import type { Checker } from './checker.js';
import { counterChecker } from './counters.js';
import { exactlyOnceChecker } from './exactly-once.js';
import { jobChecker } from './jobs.js';
import { largeValueChecker } from './large-values.js';
import { leaseChecker } from './leases.js';
import { lockChecker } from './locks.js';
import { queueChecker } from './queues.js';
import { levelChecker } from './read-levels.js';
import { registerChecker } from './register/registers.js';
import { setChecker } from './sets.js';
import { strictChecker } from './strict/strict-serializability.js';
import { triggerChecker } from './triggers.js';
import { uniqueIdsChecker } from './unique-ids.js';
import { watchChecker } from './watches.js';
import { writeSkewChecker } from './write-skew.js';

/** What a checker may need to know of a run besides its history. */
export interface RunFacts {
  readonly faults?: readonly FaultRecord[];
}

/** All checkers by name, with their usual options. */
export const CHECKERS: Readonly<Record<string, (facts: RunFacts) => Checker>> = {
  register: () => registerChecker(),
  strict: () => strictChecker(),
  set: () => setChecker(),
  queue: () => queueChecker(),
  counter: () => counterChecker(),
  append: () => appendChecker(),
  bank: () => bankChecker(),
  'write-skew': () => writeSkewChecker(),
  'unique-ids': () => uniqueIdsChecker(),
  lock: (facts) => lockChecker(facts),
  lease: (facts) => leaseChecker(facts),
  watch: () => watchChecker(),
  'read-levels': () => levelChecker(),
  'exactly-once': () => exactlyOnceChecker(),
  ap: (facts) => apChecker(facts),
  triggers: (facts) => triggerChecker(facts),
  jobs: () => jobChecker(),
  'large-values': () => largeValueChecker(),
};
