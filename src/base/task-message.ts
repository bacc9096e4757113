/** Of what is said of an attempt that has failed, in UTF-8: it goes through the log. */
export const TASK_MESSAGE_BYTES_MAX = 4096;

const CUT = '…';
const CUT_BYTES = Buffer.byteLength(CUT);

/** The beginning of what code of a user says, as far as it is kept. */
export function cutMessage(message: string): string {
  // No character has fewer bytes than units of its text.
  const bytes = Buffer.from(message.slice(0, TASK_MESSAGE_BYTES_MAX + 1));
  if (bytes.byteLength <= TASK_MESSAGE_BYTES_MAX) return message;
  const start = bytes.subarray(0, TASK_MESSAGE_BYTES_MAX - CUT_BYTES);
  // What is left of a character at the end is left out.
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(start, { stream: true }) + CUT;
}
