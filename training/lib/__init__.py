"""What the scripts of this folder share: training of the models that ship with canemo."""
