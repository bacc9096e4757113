const CUT = '…';
const CUT_BYTES = Buffer.byteLength(CUT);

/** As {@link cutText}; what was cut says which limit it was. */
export function cutNaming(text: string, bytesMax: number, limit: string): string {
  const told = ` (${limit} is ${bytesMax})`;
  if (cutText(text, bytesMax) === text) return text;
  return cutText(text, bytesMax - Buffer.byteLength(told)) + told;
}

/** The beginning of a text, so that it has at most `bytesMax` bytes in UTF-8 with the … that says that it was cut. */
export function cutText(text: string, bytesMax: number): string {
  // No character has fewer bytes than units of its text.
  const bytes = Buffer.from(text.slice(0, bytesMax + 1));
  if (bytes.byteLength <= bytesMax) return text;
  const start = bytes.subarray(0, bytesMax - CUT_BYTES);
  // What is left of a character at the end is left out.
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(start, { stream: true }) + CUT;
}
