/** The internal task that hands its input on: it turns a property of a value, or a graph's own input, into a result. */
import { identityDefinition } from '../tasks/internal.ts';
import type { SinglePlan } from './plan.ts';

export const identityPlan: SinglePlan = {
  kind: 'single',
  name: identityDefinition.name,
  definition: () => ({
    ref: { name: identityDefinition.name, ...(identityDefinition.module !== undefined && { module: identityDefinition.module }) },
    codec: identityDefinition.codec,
  }),
  options: {},
};
