import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import variant from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import type { GrowingMemory } from './memory-image.js';

/** Pages of 64 KiB that an interpreter begins with; its own code and stack are in there. */
const PAGES_MIN = 256;
const PAGE_BYTES = 64 * 1024;

/** What of `WebAssembly` is needed; the types of Node have none of it. */
interface WebAssemblyParts {
  readonly Memory: new (pages: { readonly initial: number; readonly maximum: number }) => never;
  compile(bytes: Uint8Array): Promise<never>;
}

const { Memory, compile } = Reflect.get(globalThis, 'WebAssembly') as WebAssemblyParts;

let compiling: Promise<never> | null = null;

/**
 * An interpreter with a memory of its own, that cannot grow beyond `memoryBytesMax` and what it needs itself. (The limit
 * that the interpreter knows does not count the contents of an `ArrayBuffer`.) Its memory goes when it does.
 */
export async function newQuickJs(
  memoryBytesMax: number,
): Promise<{ readonly quickJs: QuickJSWASMModule; readonly memory: GrowingMemory }> {
  compiling ??= readWasm().then((bytes) => compile(bytes));
  const maximum = PAGES_MIN + Math.ceil(memoryBytesMax / PAGE_BYTES);
  const memory = new Memory({ initial: PAGES_MIN, maximum });
  const quickJs = await newQuickJSWASMModuleFromVariant(
    // Its types speak of the CommonJS form of the package.
    newVariant(variant as unknown as QuickJSSyncVariant, {
      wasmModule: await compiling,
      wasmMemory: memory,
    }),
  );
  return { quickJs, memory };
}

function readWasm(): Promise<Uint8Array> {
  const { resolve } = createRequire(import.meta.url);
  return readFile(resolve('@jitl/quickjs-wasmfile-release-sync/wasm'));
}
