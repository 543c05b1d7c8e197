import { expect, it } from 'vitest';
import { adviceFor } from './advice.ts';

it('is that of the first error in the chain that has some; codes of users’ errors have none, whatever they are', () => {
  expect(adviceFor({ code: 'E_MINE', cause: { code: 'SH1104' } })).toMatch(/^put what starts the work into main/);
  for (const code of ['constructor', 'toString', '__proto__', '']) expect(adviceFor({ code })).toBeUndefined();
  expect(adviceFor(undefined)).toBeUndefined();
});
