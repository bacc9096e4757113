const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text that the bytes are in UTF-8, or `null`. */
export function utf8OrNull(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** `{ value: "text" }`, or `{ valueBase64 }` for bytes that are no text. */
export function jsonBytes(
  name: 'key' | 'value' | 'prefix',
  bytes: Uint8Array,
): Record<string, string> {
  const text = utf8OrNull(bytes);
  return text === null
    ? { [`${name}Base64`]: Buffer.from(bytes).toString('base64') }
    : { [name]: text };
}

/** For a terminal: bytes that are no text as base64, and no control character gets through. */
export function printable(bytes: Uint8Array, lines: 'one-line' | 'lines'): string {
  const text = utf8OrNull(bytes);
  if (text === null) return `base64:${Buffer.from(bytes).toString('base64')}`;
  return text.replace(CONTROLS, (character) =>
    lines === 'lines' && (character === '\n' || character === '\t')
      ? character
      : escaped(character),
  );
}

/** Text that others have written, for one line on a terminal. */
export function oneLine(text: string): string {
  return printable(Buffer.from(text), 'one-line');
}

// A stored value must not be able to drive the terminal of whoever looks at it.
const CONTROLS = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

function escaped(character: string): string {
  const short = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\u001b': '\\e' }[character];
  return short ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
