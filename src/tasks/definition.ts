/**
 * Task definitions: what client and worker threads both know of a task. A module that calls `task(…)`
 * registers its definitions here when it is imported, in the client and again in every thread.
 *
 * The registry hangs on globalThis, so that a program that carries a second copy of this package still
 * finds its tasks. It is a Map: a task named `constructor` or `__proto__` is a name like any other (X04).
 */
import type { Codec } from '../codecs/codec.ts';
import { ShoalError } from '../lib/errors.ts';

/** https://standardschema.dev, version 1. */
export interface StandardSchema<In = unknown, Out = In> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    // biome-ignore lint/suspicious/noExplicitAny: the result type is the vendor's; it is checked where it is used
    readonly validate: (value: unknown) => any;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
  };
}

/** The running side of a definition; what scheduling needs is in the spec that the client sends. */
export interface Definition {
  readonly name: string;
  /** URL of the module that defines it; undefined where it cannot be known (then only `inline:` can run it). */
  readonly module: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: user functions of any input; the public types check them
  readonly run: (input: any, context: any) => unknown;
  readonly schema: StandardSchema | undefined;
  readonly codec: Codec;
  readonly retryIf: ((error: unknown, attempt: number) => boolean) | undefined;
}

const registryKey = Symbol.for('shoal.definitions');

function registry(): Map<string, Definition> {
  const holder = globalThis as { [registryKey]?: Map<string, Definition> };
  holder[registryKey] ??= new Map();
  return holder[registryKey];
}

/**
 * SH1101: two modules with one name. The same module loaded again may redefine its own; programs are bundled into one
 * module, so what two of its functions share is found out when the first of them is used (client/task.ts).
 */
export function registerDefinition(definition: Definition): void {
  const known = registry().get(definition.name);
  if (known && known.module !== definition.module) {
    throw new ShoalError('SH1101', `the task name "${definition.name}" is used twice`, {
      why: `${known.module ?? 'an unknown module'} and ${definition.module ?? 'an unknown module'} both define it`,
      hint: 'give one of them another name',
    });
  }
  registry().set(definition.name, definition);
}

export function findDefinition(name: string): Definition | undefined {
  return registry().get(name);
}

/** For messages: what there is, where something was not found. */
export function definedNames(): string[] {
  return [...registry().keys()];
}
