import { againstEncoders } from "./against-encoders.js";

againstEncoders("modernbert");
