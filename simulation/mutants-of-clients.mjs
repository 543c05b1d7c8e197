// @ts-check
/** Mutants of what a client does about lines that break. */

/** @type {readonly import('./mutants.mjs').Mutant[]} */
export const mutantsOfClients = [
  {
    id: 'client-asks-once',
    rule: 'client 4: what was not answered is said again',
    file: 'src/client/connection.ts',
    find: 'waiting.isRepeated = true;\n      this.#session.send(waiting.message);',
    replace: 'waiting.isRepeated = true;',
    budget: 200,
  },
  {
    id: 'client-feeds-once',
    rule: 'client 4: inputs that are not known to be durable are sent again',
    file: 'src/client/connection.ts',
    find: 'for (const message of this.#unconfirmed.again()) this.#session.send(message);',
    replace: '',
    budget: 500,
  },
  {
    id: 'reader-begins-anew',
    rule: 'client 2: each task once',
    file: 'src/client/open-readers.ts',
    find: '...(given && !given.isEmpty && given.columns())',
    replace: '...(given && {})',
    budget: 500,
  },
  {
    id: 'reader-skips-gaps',
    rule: 'client 2: each task once',
    file: 'src/core/readers.ts',
    find: '!reader.given?.has(index, attemptsOf(stage, index))) {',
    replace: 'index >= (reader.given?.end ?? 0)) {',
    budget: 3000,
  },
  {
    id: 'along-under-its-old-number',
    rule: 'client 4: a submission that is said again opens its reader again',
    file: 'src/client/open-readers.ts',
    find: 'reader.asked.reader = reader.number;',
    replace: '',
    budget: 500,
  },
];
