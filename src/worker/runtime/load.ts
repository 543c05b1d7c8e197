/**
 * Finds the definitions that a work speaks of: loads their modules, once each in a thread. What can't be had makes the
 * whole work `refused`, with an error that says what the import said (SH5001) or which tasks the module does have (SH5002).
 */
import type { Codec } from '../../codecs/codec.ts';
import { ShoalError } from '../../lib/errors.ts';
import { type Definition, definedNames, findDefinition } from '../../tasks/definition.ts';
import type { DefinitionRef, Work } from '../executors/executor.ts';

/** All that a work needs of user code. */
export interface Program {
  definition: Definition;
  combine: Definition | undefined;
  /** As inputReader() wants them. */
  codecs: Codec[];
}

const loading = new Map<string, Promise<unknown>>();

/** Answers at once where everything is here already: a batch of one must not wait for a promise. */
export function loadProgram(work: Work, modules: readonly string[] | undefined): Program | Promise<Program> {
  const refs = refsOf(work);
  if (modules) return isPreloaded ? assemble(work) : preload(refs[0]!, modules).then(() => assemble(work));
  return refs.every(isHere) ? assemble(work) : loadAll(refs).then(() => assemble(work));
}

let isPreloaded = false;

/** A worker of a cluster loads what it was started with; what a message names is only looked up there (X04). */
async function preload({ name }: DefinitionRef, modules: readonly string[]): Promise<void> {
  for (const module of modules) await loadModule({ name, module });
  isPreloaded = true;
}

function refsOf(work: Work): DefinitionRef[] {
  const { input } = work;
  const refs = [work.definition];
  if (work.combine) refs.push(work.combine.definition);
  if (input.kind === 'template') for (const arg of input.args) if (arg.codecOf) refs.push(arg.codecOf);
  if (input.kind !== 'template' && input.codecOf) refs.push(input.codecOf);
  return refs;
}

/** What the program itself registered (`inline:`) is taken as it is. */
function isHere(ref: DefinitionRef): boolean {
  const known = findDefinition(ref.name);
  return known !== undefined && (ref.module === undefined || known.module === undefined || known.module === ref.module);
}

async function loadAll(refs: readonly DefinitionRef[]): Promise<void> {
  // One after another, so that a module that fails is named by the first task that needs it.
  for (const ref of refs) if (!isHere(ref)) await loadModule(ref);
}

async function loadModule({ name, module }: DefinitionRef): Promise<void> {
  if (module === undefined) {
    throw new ShoalError('SH5002', `no task named "${name}" is known here`, {
      why: 'its module is not known, so that no other thread can load it',
      hint: "define it in a file of its own, give it the option module: import.meta.url, or run it with the address 'inline:'",
    });
  }
  let imported = loading.get(module);
  if (!imported) {
    imported = import(module);
    loading.set(module, imported);
  }
  try {
    await imported;
  } catch (cause) {
    throw new ShoalError('SH5001', `the module of the task "${name}" could not be loaded: ${messageOf(cause)}`, { why: module, cause });
  }
}

function assemble(work: Work): Program {
  const { input } = work;
  const definition = found(work.definition);
  return {
    definition,
    combine: work.combine ? found(work.combine.definition) : undefined,
    codecs:
      input.kind === 'template'
        ? input.args.map((arg) => (arg.codecOf ? found(arg.codecOf) : definition).codec)
        : [(input.codecOf ? found(input.codecOf) : definition).codec],
  };
}

function found(ref: DefinitionRef): Definition {
  const definition = findDefinition(ref.name);
  if (definition) return definition;
  const names = definedNames();
  const shown = names.slice(0, 20).map((name) => `"${name}"`);
  throw new ShoalError(
    'SH5002',
    ref.module ? `the module ${ref.module} has no task named "${ref.name}"` : `there is no task named "${ref.name}"`,
    {
      why:
        names.length === 0
          ? 'it defines no tasks'
          : `the tasks known after it was loaded: ${shown.join(', ')}${names.length > 20 ? ', …' : ''}`,
      hint: 'define tasks at the top level of the module, so that loading it is enough',
    },
  );
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
