import type { ProcedureBundle } from '../../compute/bundle.js';

/** Names that the second parameter of a handler takes apart; `null`: it has none. */
type Fields = readonly string[] | null;

/** How a procedure may be called on the command line: `transfer '{"from": …, "to": …}'`; `null`: none is. */
export function exampleCall({ code, procedures }: ProcedureBundle): string | null {
  // What is called with writes is not called by people.
  const called = procedures.filter(({ trigger }) => trigger === null);
  const known = called.map(({ name }) => ({ name, fields: fieldsOf(code, name) }));
  // What can be called as it stands is the best example, and else what shows how arguments look.
  const best =
    known.find(({ fields }) => fields === null) ??
    known.find(({ fields }) => fields !== undefined) ??
    known[0];
  if (best === undefined) return null;
  const { name, fields } = best;
  if (fields === null) return name;
  const inside = (fields ?? []).map((field) => `"${field}": …`).join(', ');
  return `${name} '{ ${inside === '' ? '…' : inside} }'`;
}

/** By how the code is written; `undefined`: that does not tell. */
function fieldsOf(code: string, name: string): Fields | undefined {
  const quoted = name.replaceAll('$', '\\$');
  const handler = `\\bvar ${quoted}=[\\w$.]+\\(\\{(?:args:[\\w$]+,)?handler:(?:async)?\\s*`;
  const parameters = new RegExp(`${handler}(?:\\(([^()]*)\\)|([\\w$]+))=>`).exec(code);
  const found = parameters?.[1] ?? parameters?.[2];
  if (found === undefined) return undefined;
  const second = /^[^,]*,(.*)$/s.exec(found)?.[1];
  if (second === undefined) return null;
  const taken = /^\{([\w$,:=."' -]*)\}$/.exec(second)?.[1];
  return taken
    ?.split(',')
    .map((part) => /^[\w$]+/.exec(part)?.[0] ?? '')
    .filter((part) => part !== '');
}
