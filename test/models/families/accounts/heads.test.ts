import { againstEncoders } from "./against-encoders.js";

againstEncoders("heads");
