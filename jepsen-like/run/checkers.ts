import { appendChecker } from '../checkers/append/append-lists.js';
import { bankChecker } from '../checkers/bank.js';
import type { Checker } from '../checkers/checker.js';
import { counterChecker } from '../checkers/counters.js';
import { lockChecker } from '../checkers/locks.js';
import { queueChecker } from '../checkers/queues.js';
import { registerChecker } from '../checkers/register/registers.js';
import { setChecker } from '../checkers/sets.js';
import { strictChecker } from '../checkers/strict/strict-serializability.js';
import { uniqueIdsChecker } from '../checkers/unique-ids.js';
import { writeSkewChecker } from '../checkers/write-skew.js';

export const CHECKERS: readonly Checker[] = [
  registerChecker(),
  strictChecker(),
  setChecker(),
  queueChecker(),
  counterChecker(),
  appendChecker(),
  bankChecker(),
  writeSkewChecker(),
  uniqueIdsChecker(),
  lockChecker(),
];
