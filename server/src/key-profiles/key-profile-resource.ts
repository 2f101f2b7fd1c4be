import { keyProfileRequestSchema, keyProfileSchema } from './key-profile-schema.ts';

/** A key profile as it is answered. */
export const keyProfileResource = keyProfileSchema.meta({ id: 'KeyProfile' });

/** Body of `PUT …/key-profile`: a preset's name and the members that differ from it. */
export const putKeyProfileBody = keyProfileRequestSchema.meta({
  id: 'KeyProfileRequest',
  examples: [
    {
      preset: 'tenant-header',
      key_headers: ['X-Acme-Key'],
      prefix_template: 'acme_{kind}_{environment}_',
      tenant_header: { name: 'X-Acme-Tenant', required: false },
    },
  ],
});
