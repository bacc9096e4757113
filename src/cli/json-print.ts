/** Something of the text: as it is, or still to be written. */
type Part = { readonly text: string } | { readonly value: unknown };

/**
 * JSON of what came as JSON. `JSON.stringify` goes no deeper than the stack does, and not every result is as flat: a deeper one is
 * written without lines of its own, whose blanks would be most of it.
 */
export function jsonText(value: unknown, indent = 0): string {
  try {
    return JSON.stringify(value, null, indent);
  } catch (error) {
    if (error instanceof RangeError) return deepJson(value);
    throw error;
  }
}

function deepJson(value: unknown): string {
  const texts: string[] = [];
  const left: Part[] = [{ value }];
  for (let part = left.pop(); part !== undefined; part = left.pop()) {
    if ('text' in part) texts.push(part.text);
    else if (typeof part.value !== 'object' || part.value === null) {
      texts.push((JSON.stringify(part.value) as string | undefined) ?? 'null');
    } else {
      // The first one is taken next.
      for (const inner of partsOf(part.value).reverse()) left.push(inner);
    }
  }
  return texts.join('');
}

function partsOf(value: object): Part[] {
  const isList = Array.isArray(value);
  const parts: Part[] = [{ text: isList ? '[' : '{' }];
  for (const [name, inner] of Object.entries(value) as [string, unknown][]) {
    if (!isList && inner === undefined) continue;
    const comma = parts.length === 1 ? '' : ',';
    parts.push({ text: isList ? comma : `${comma}${JSON.stringify(name)}:` }, { value: inner });
  }
  return [...parts, { text: isList ? ']' : '}' }];
}
