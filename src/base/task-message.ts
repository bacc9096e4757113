import { cutText } from './cut-text.js';

/** Of what is said of an attempt that has failed, in UTF-8: it goes through the log. */
export const TASK_MESSAGE_BYTES_MAX = 4096;

/** The beginning of what code of a user says, as far as it is kept. */
export function cutMessage(message: string): string {
  return cutText(message, TASK_MESSAGE_BYTES_MAX);
}
