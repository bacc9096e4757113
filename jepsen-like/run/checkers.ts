import type { Checker } from '../checkers/checker.js';
import { registerChecker } from '../checkers/register/registers.js';

export const CHECKERS: readonly Checker[] = [registerChecker()];
