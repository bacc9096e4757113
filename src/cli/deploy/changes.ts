import type { Deployable, ProcedureInfo } from '../../client/client.js';

/** What a deployment does to one procedure of its alias; `stays`: the file does not define it any more. */
export type ChangeKind = 'new' | 'changed' | 'unchanged' | 'stays';

export interface Change {
  readonly name: string;
  readonly mode: string;
  /** It is called with what is written to keys with this prefix; `null`: by callers. */
  readonly trigger: string | null;
  readonly kind: ChangeKind;
  /** Hash of the code that it stands for before; `null`: none. */
  readonly from: string | null;
  readonly to: string;
  /** How it was declared before, if otherwise. */
  readonly modeBefore?: string;
}

/** What is different when the code is deployed as `alias`, by names; what stays comes last. */
export function changesOf(
  { hash, procedures }: Deployable,
  alias: string,
  deployed: readonly ProcedureInfo[],
): readonly Change[] {
  const before = new Map(deployed.filter((one) => one.alias === alias).map((p) => [p.name, p]));
  const changes = procedures.map(({ name, mode, trigger }): Change => {
    const known = before.get(name);
    before.delete(name);
    const from = known?.versions[0]?.hash ?? null;
    const kind = from === null ? 'new' : from === hash ? 'unchanged' : 'changed';
    const modeBefore = known === undefined || known.mode === mode ? {} : { modeBefore: known.mode };
    return { name, mode, trigger, kind, from, to: hash, ...modeBefore };
  });
  const others = [...before.values()].map(({ name, mode, trigger = null, versions }): Change => {
    const stands = versions[0]?.hash ?? '';
    return { name, mode, trigger, kind: 'stays', from: stands, to: stands };
  });
  return [...changes.sort(byName), ...others.sort(byName)];
}

/** There is something to be written. */
export function hasChanges(changes: readonly Change[]): boolean {
  return changes.some(({ kind }) => kind === 'new' || kind === 'changed');
}

function byName(a: Change, b: Change): number {
  return a.name < b.name ? -1 : 1;
}
