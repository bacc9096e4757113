import type { Deployable, ProcedureInfo } from '../../client/client.js';
import { oneLine } from '../printable.js';

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
  /** What it was called with before, if that is otherwise; `null`: it was called by callers. */
  readonly triggerBefore?: string | null;
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
    const change = { name, mode, trigger, kind, from, to: hash } as const;
    if (known === undefined) return change;
    const { mode: modeBefore, trigger: triggerBefore = null } = known;
    return {
      ...change,
      ...(modeBefore === mode ? {} : { modeBefore }),
      ...(triggerBefore === trigger ? {} : { triggerBefore }),
    };
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

/** What a deployment does that is easily overlooked, and hard or impossible to undo. */
export function warningsOf(changes: readonly Change[]): readonly string[] {
  return changes.flatMap(({ name, mode, modeBefore, trigger, triggerBefore }) => {
    const warnings: string[] = [];
    if (modeBefore !== undefined && mode === 'ap') {
      warnings.push(
        `${name} becomes ap: that cannot be undone, its calls are remembered as those of an ap procedure for ever, whatever it stands for later`,
      );
    }
    if (typeof triggerBefore === 'string') {
      const now = trigger === null ? 'by callers alone' : `with writes to ${oneLine(trigger)}`;
      warnings.push(
        `${name} is not called with writes to ${oneLine(triggerBefore)} any more, but ${now}; what is written meanwhile it is never called with`,
      );
    }
    return warnings;
  });
}

function byName(a: Change, b: Change): number {
  return a.name < b.name ? -1 : 1;
}
