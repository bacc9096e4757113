import { unreachable } from '../../base/assert.js';
import type { JobSpec, StageSpec } from '../../base/job.js';

/** How many tasks a stage has, as far as is known. */
export interface StageShape {
  /** Results of other stages, or items of the input, that its tasks take. */
  readonly inputs: number;
  /** Tasks that are known to exist. */
  readonly tasks: number;
  /** Results that stages behind it take. */
  readonly outputs: number;
  /** There will be no more. */
  readonly isFinal: boolean;
}

/** Results of the tasks `[from, to)` of a stage; of stage 0: items of the input. */
export interface Span {
  readonly stage: number;
  readonly from: number;
  readonly to: number;
}

/**
 * The shape of all stages by their numbers, 0 among them, which cuts the input.
 * @param isSealed the input has no more items
 */
export function shapesOf(
  spec: JobSpec,
  { items, cuts, isSealed }: { items: number; cuts: number; isSealed: boolean },
): readonly StageShape[] {
  const shapes: StageShape[] = [
    { inputs: 0, tasks: isSealed ? cuts : cuts + 1, outputs: items, isFinal: isSealed },
  ];
  for (const stage of spec.stages) shapes.push(shapeOf(stage, shapes));
  return shapes;
}

function shapeOf(stage: StageSpec, before: readonly StageShape[]): StageShape {
  const sources = stage.after.map((n) => before[n] as StageShape);
  const isFinal = sources.every((source) => source.isFinal);
  // Where the results of the second one begin is known when the first one is.
  const isCountable = isFinal || sources.length === 1;
  const inputs = isCountable ? sources.reduce((sum, { outputs }) => sum + outputs, 0) : 0;
  switch (stage.kind) {
    case 'map':
      return { inputs, tasks: inputs, outputs: inputs, isFinal };
    case 'combine': {
      const tasks = isFinal ? Math.ceil(inputs / stage.fanIn) : Math.floor(inputs / stage.fanIn);
      return { inputs, tasks, outputs: tasks, isFinal };
    }
    case 'reduce': {
      const tasks = isFinal ? levelsOf(inputs, stage.fanIn).reduce((sum, n) => sum + n, 0) : 0;
      return { inputs, tasks, outputs: isFinal ? 1 : 0, isFinal };
    }
    default:
      return unreachable(stage.kind);
  }
}

/** How many tasks a tree has at each level, from the leaves on: at the last one there is one. Nothing gives one result, too. */
export function levelsOf(inputs: number, fanIn: number): number[] {
  const levels: number[] = [];
  let size = inputs;
  do {
    size = Math.max(1, Math.ceil(size / fanIn));
    levels.push(size);
  } while (size > 1);
  return levels;
}

/** Where the inputs of a task come from, in order. */
export function inputsOf(
  spec: JobSpec,
  shapes: readonly StageShape[],
  { stage, ordinal }: { readonly stage: number; readonly ordinal: number },
): readonly Span[] {
  if (stage === 0) return [];
  const { kind, fanIn, after } = spec.stages[stage - 1] as StageSpec;
  const { inputs } = shapes[stage] as StageShape;
  const group = (n: number, size: number): readonly [number, number] => [
    n * fanIn,
    Math.min((n + 1) * fanIn, size),
  ];
  if (kind === 'map') return spansOf(spec, shapes, after, [ordinal, ordinal + 1]);
  if (kind === 'combine') return spansOf(spec, shapes, after, group(ordinal, inputs));
  let first = 0;
  let below = 0;
  let size = inputs;
  for (const [level, tasks] of levelsOf(inputs, fanIn).entries()) {
    if (ordinal < first + tasks) {
      const [from, to] = group(ordinal - first, size);
      if (level === 0) return spansOf(spec, shapes, after, [from, to]);
      return [{ stage, from: below + from, to: below + to }];
    }
    below = first;
    first += tasks;
    size = tasks;
  }
  return [];
}

/** Of the results of several stages, one after the other, those in `[from, to)`. */
function spansOf(
  spec: JobSpec,
  shapes: readonly StageShape[],
  after: readonly number[],
  [from, to]: readonly [number, number],
): Span[] {
  const spans: Span[] = [];
  let first = 0;
  for (const stage of after) {
    const { outputs, tasks } = shapes[stage] as StageShape;
    const begin = Math.max(from - first, 0);
    const end = Math.min(to - first, outputs);
    first += outputs;
    if (begin >= end) continue;
    // Of a tree the last one is the result.
    const isTree = stage > 0 && spec.stages[stage - 1]?.kind === 'reduce';
    const shift = isTree ? tasks - 1 : 0;
    spans.push({ stage, from: begin + shift, to: end + shift });
  }
  return spans;
}

/** The results of a job: those of its last stages, one after the other. */
export interface ResultsShape {
  readonly count: number;
  /** It is the one result of a tree. */
  readonly isSingle: boolean;
  /** Where those in `[from, to)` are. */
  spans(from: number, to: number): readonly Span[];
}

export function resultsOf(spec: JobSpec, shapes: readonly StageShape[]): ResultsShape {
  const last = lastStages(spec);
  const [first = 0] = last;
  return {
    count: last.reduce((sum, stage) => sum + (shapes[stage] as StageShape).outputs, 0),
    isSingle: last.length === 1 && spec.stages[first - 1]?.kind === 'reduce',
    spans: (from, to) => spansOf(spec, shapes, last, [from, to]),
  };
}

/** Stages whose results nobody takes: they are those of the job. */
function lastStages(spec: JobSpec): number[] {
  const taken = new Set(spec.stages.flatMap(({ after }) => after));
  return spec.stages.map((_, i) => i + 1).filter((stage) => !taken.has(stage));
}
