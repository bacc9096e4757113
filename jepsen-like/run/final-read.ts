import { waitUntil } from '../../src/cluster/wait-until.js';
import type { Answer, Came, ProcessLog, Question } from './recorder.js';

/** All is mended by then: within this time the cluster must answer. */
export const FINAL_MS_MAX = 60_000;

export interface FinalOptions {
  readonly timeoutMs?: number;
  /** Errors that tell what is there, too. */
  readonly answers?: readonly string[];
}

/**
 * Asks for what is there in the end, again and again until it is told.
 * @throws BalsaError it is not told in time
 */
export function finalRead<T extends Answer>(
  log: ProcessLog,
  question: Question,
  call: () => Promise<T>,
  { timeoutMs = FINAL_MS_MAX, answers = [] }: FinalOptions = {},
): Promise<Came<T>> {
  const { f, key = '' } = question;
  return waitUntil(
    `an answer to the last ${f} ${key}`.trim(),
    async () => {
      const came = await log.do(question, call);
      return came.type === 'ok' || answers.includes(came.error) ? came : undefined;
    },
    { timeoutMs },
  );
}
