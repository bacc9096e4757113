import { setTimeout as delay } from 'node:timers/promises';
import type { Length, OnBegin } from '../../src/cli/bench/drive.js';
import type { Subject } from './subject.js';

/** Connections of a process that dies break a moment before this process is told of its end. */
const NEWS_MS_MAX = 500;

/**
 * Does `work` as long as all servers run.
 *
 * @param ended aborts when one of them ends; its reason is what is thrown then, at once: calls may wait for a server
 *   that is gone
 * @param work is given what makes all of it fail
 */
export function whileAlive<T>(
  ended: AbortSignal,
  work: (fail: (reason: unknown) => void) => Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    ended.throwIfAborted();
    const onEnd = (): void => reject(ended.reason);
    ended.addEventListener('abort', onEnd, { once: true });
    const failed = async (error: unknown): Promise<void> => {
      // A call that failed may be how the end of a server shows first.
      if (!ended.aborted) await newsOf(ended);
      reject(ended.aborted ? ended.reason : error);
    };
    work(reject)
      .then(resolve, failed)
      .finally(() => ended.removeEventListener('abort', onEnd));
  });
}

async function newsOf(ended: AbortSignal): Promise<void> {
  await delay(NEWS_MS_MAX, undefined, { signal: ended }).catch(() => {});
}

/** The same subject, whose work fails at once, and with the reason, when one of its servers ends. */
export function endingWith(ended: AbortSignal, subject: Omit<Subject, 'ended'>): Subject {
  return {
    ...subject,
    ended,
    fill: (keys, valueBytes) => whileAlive(ended, () => subject.fill(keys, valueBytes)),
    measure: (scenario, length, onBegin) =>
      whileAlive(ended, (fail) => {
        const begin: OnBegin = (clientPid) => {
          // It comes by a timer, where nobody would catch it.
          try {
            if (!ended.aborted) onBegin(clientPid);
          } catch (error) {
            fail(error);
          }
        };
        return subject.measure(scenario, endedWith(ended, length), begin);
      }),
  };
}

/** No call begins behind that end. */
function endedWith(ended: AbortSignal, length: Length): Length {
  const signal = length.signal === undefined ? ended : AbortSignal.any([ended, length.signal]);
  return { ...length, signal };
}
