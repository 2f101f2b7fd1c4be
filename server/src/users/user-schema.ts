import { z } from 'zod';
import { boundedObject, metadataField, metadataPatchField, text, timestampField } from '../http/fields.ts';
import { maxUsernameLength, normalizeUsername } from './username.ts';

export const usernameTypeField = z
  .enum(['email', 'unique-name', 'phone'])
  .describe('What kind of name it is. Who signs in by e-mail has an `email`. It stays for the user’s life.');

const username = text(1, maxUsernameLength).describe(
  'Unique in the issuer among those of its type, whatever its case and spelling.',
);

const profileText = text(1, 200).optional();

/** What is known of a person. The named members are text; an application may keep others beside them. */
const profileField = boundedObject(
  z
    .object({
      first_name: profileText,
      last_name: profileText,
      display_name: profileText,
      locale: text(2, 35).optional().describe('A language tag (BCP 47), such as `de-CH`.'),
      time_zone: text(1, 64).optional().describe('Such as `Europe/Zurich`.'),
      picture_url: text(1, 2048).optional(),
      phone_number: text(1, 40).optional().describe('Best as E.164 has it, such as `+41441234567`.'),
    })
    .catchall(z.json()),
);

/** Body of `POST …/users`. */
export const createUserBody = z
  .strictObject({
    username_type: usernameTypeField.default('email'),
    username,
    profile: profileField.optional(),
    metadata: metadataField.optional(),
  })
  .superRefine(({ username_type: type, username: written }, context) => {
    const parsed = normalizeUsername(type, written);
    if (!parsed.ok) context.addIssue({ code: 'custom', path: ['username'], message: parsed.message });
  })
  .meta({
    id: 'CreateUserRequest',
    examples: [
      {
        username_type: 'email',
        username: 'alice@example.com',
        profile: { first_name: 'Alice', last_name: 'Archer' },
      },
    ],
  });

/** What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this. */
export const userMembers = z.strictObject({
  username,
  profile: profileField.default({}),
  metadata: metadataField.default({}),
});

/** Body of `PATCH …/users/{user_id}`; members of `profile` and `metadata` merge, null removes. */
export const patchUserBody = z
  .strictObject({
    username: username.optional(),
    profile: metadataPatchField.nullish(),
    metadata: metadataPatchField.nullish(),
  })
  .meta({ id: 'PatchUserRequest', examples: [{ profile: { last_name: 'Baker' } }] });

export const userResource = z
  .object({
    id: z.string(),
    issuer_id: z.string(),
    username_type: usernameTypeField,
    username: z
      .string()
      .describe('In its normal form: an address with its domain in lower case, a number as E.164.'),
    profile: z.record(z.string(), z.json()),
    metadata: z.record(z.string(), z.json()),
    status: z.enum(['active', 'suspended']),
    created_at: timestampField,
    updated_at: timestampField,
  })
  .meta({ id: 'User' });

export const usersParams = z.object({ issuer_id: z.string() });
export const userParams = z.object({ issuer_id: z.string(), user_id: z.string() });
