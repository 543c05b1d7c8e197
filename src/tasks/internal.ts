/** Tasks of our own, defined as users define theirs: every thread finds them by loading this module. */
import { msgpackCodec } from '../codecs/msgpack.ts';
import { entryUrl } from '../lib/entry.ts';
import { type Definition, registerDefinition } from './definition.ts';

/** Hands its input on. Graphs use it where a value that is not yet a task's result has to be one. */
export const identityDefinition: Definition = {
  name: 'shoal.identity',
  module: entryUrl(import.meta.url, './internal.ts').href,
  run: (input: unknown) => input,
  schema: undefined,
  codec: msgpackCodec,
  retryIf: undefined,
};

registerDefinition(identityDefinition);
